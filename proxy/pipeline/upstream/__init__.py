"""Attempts at providers: the next hop, its health, sending, and errors."""
