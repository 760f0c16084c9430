"""Hold the ledger against the provider's bill, day by day."""
