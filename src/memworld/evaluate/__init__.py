"""Honest evaluation: the protocol and the metrics of METHOD section 6."""
