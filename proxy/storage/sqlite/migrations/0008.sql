-- What an operator changes at run time lives beside the ledger: one section for each noun.

PRAGMA user_version = 8;
