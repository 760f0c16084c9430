"""Decisions without I/O: prices, quotas, what follows a failure, which target and key is next."""
