"""Dialects of real servers: what each of them says, takes and refuses is data, one row a server."""
