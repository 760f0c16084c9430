"""What an attempt cost and how sure that is; the rows of the ledger."""
