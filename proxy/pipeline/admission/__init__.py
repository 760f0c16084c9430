"""Whether a request may start, and what is held for it."""
