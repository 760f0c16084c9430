-- The ledger beside the provider's bill: one section for each noun.

PRAGMA user_version = 9;
