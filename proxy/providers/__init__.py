"""Providers: connections, rows, model lists, look-ups."""
