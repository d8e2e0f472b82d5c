"""The experiments, one a file; each turns a prepared world into tables, charts and evidence."""
