-- Requests that came with an Idempotency-Key, so that a repetition finds the first one also after a restart. Neither the
-- key nor the body can be read from it: key_hash is a hash over both user and key, body_hash is keyed with the key itself.

CREATE TABLE idempotency_keys (
    request_id INTEGER PRIMARY KEY,     -- grows with time, so that the oldest are found without an index
    key_hash BLOB NOT NULL UNIQUE,
    body_hash BLOB NOT NULL
) STRICT;

PRAGMA user_version = 4;
