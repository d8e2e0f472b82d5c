"""How fast search and imagination are, beside the ways that others search and beside the machine's own limits."""
