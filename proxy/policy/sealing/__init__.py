"""Sealed values: how a secret is encrypted for one place in one database, and the keys that can open it. Pure."""
