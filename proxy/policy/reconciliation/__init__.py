"""The ledger beside the provider's bill: every difference is of a named class, and the classes add up to all of it."""
