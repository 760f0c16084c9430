-- What an operator changes at run time lives beside the ledger: one section for each noun.

-- audit: who changed what, from where, what it was before and after; each entry chained to the one before it. What
-- earlier versions wrote is chained with the first entry that follows.
CREATE TABLE audit_entries (
    id INTEGER PRIMARY KEY,
    ts_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    source TEXT NOT NULL,     -- socket, tcp <address>, command line, request, file, proxy; '' of earlier versions
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    before TEXT,              -- JSON; NULL: there was nothing
    after TEXT,               -- JSON; NULL: there is nothing any more
    previous BLOB,            -- hash of the entry before
    hash BLOB                 -- SHA-256 of this entry and previous
) STRICT;
INSERT INTO audit_entries SELECT id, ts_ms, actor, '', action, subject, NULL, detail, NULL, NULL FROM audit;
DROP TABLE audit;
ALTER TABLE audit_entries RENAME TO audit;

PRAGMA user_version = 8;
