"""Our disk: the ledger, its schema, users, reports."""
