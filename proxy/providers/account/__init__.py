"""What a provider says of the account behind its keys: credits, limits of keys, and what was charged when."""
