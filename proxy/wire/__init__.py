"""Bytes without I/O: bodies, headers, server-sent events, usage."""
