-- A token may speak for others: the people behind it are users too, made when they are first seen.

ALTER TABLE tokens ADD COLUMN trusted INTEGER NOT NULL DEFAULT 0 CHECK (trusted IN (0, 1));
ALTER TABLE users ADD COLUMN made_by TEXT;              -- id of the token that named an end user first; NULL: added by hand

PRAGMA user_version = 3;
