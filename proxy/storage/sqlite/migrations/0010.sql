-- Pages for people: one section for each noun. The version stands at the end.

-- sessions: who is logged in, and by what. digest: SHA-256 of the cookie; bound: of the token that it came from.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('operator', 'admin_token', 'code', 'user')),
    name TEXT NOT NULL,
    token TEXT NOT NULL,
    bound TEXT NOT NULL,
    address TEXT NOT NULL,
    browser TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 10;
