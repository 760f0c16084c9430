"""Decisions without I/O: prices, quotas."""
