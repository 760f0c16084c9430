-- The ledger's first shape. The views (views.sql) are the contract; these tables may change by migration.
-- A hot table carries no secondary index: ids grow with time (milliseconds << 21 | counter), so a time range is an
-- id range, quota checks read memory and reports read the roll-up.
-- A CHECK of the hot table compares one by one, the likeliest first: for IN (...) of three or more SQLite would make and
-- fill a table of its own for each row that is written.
-- No column can hold a prompt or an answer: texts are names, words and ids, cut to size before they get here.

CREATE TABLE requests (
    id INTEGER PRIMARY KEY,
    started_ms INTEGER NOT NULL,
    finished_ms INTEGER,
    day TEXT NOT NULL,                  -- of started_ms in the time zone that was configured then
    user TEXT NOT NULL,
    group_name TEXT,
    token_id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    requested_model TEXT NOT NULL,
    model TEXT,                         -- that answered
    provider TEXT,                      -- row of the configuration that answered
    use_case TEXT,
    session_id TEXT,
    tags TEXT,                          -- JSON object
    status INTEGER,                     -- HTTP status the client got; 499: it had gone
    finish_reason TEXT,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cached_tokens INTEGER,
    reasoning_tokens INTEGER,
    reserved_pusd INTEGER,              -- NULL: no price is known for a target of the route
    reserved_tokens INTEGER,            -- NULL: no bound is known
    cost_pusd INTEGER CHECK (cost_pusd >= 0),
    cost_source TEXT NOT NULL DEFAULT 'none'
        CHECK (cost_source = 'none' OR cost_source = 'provider' OR cost_source = 'price' OR cost_source = 'generation'
            OR cost_source = 'reservation' OR cost_source = 'estimate'),
    state TEXT NOT NULL DEFAULT 'open'
        CHECK (state = 'open' OR state = 'settled' OR state = 'pending' OR state = 'released'),
    ttft_ms INTEGER,
    duration_ms INTEGER,
    streamed INTEGER NOT NULL CHECK (streamed IN (0, 1)),
    attempts INTEGER NOT NULL DEFAULT 0,
    generation_id TEXT,
    error TEXT,                         -- a code of docs/errors.md
    flags TEXT                          -- words separated by spaces: what makes this row less than exact
) STRICT;

CREATE TABLE attempts (
    request_id INTEGER NOT NULL,
    n INTEGER NOT NULL,                 -- 1 is the first
    started_ms INTEGER NOT NULL,
    provider TEXT NOT NULL,
    key TEXT NOT NULL,                  -- label of the provider key, never the key
    model TEXT NOT NULL,                -- as it was asked for
    served_model TEXT,
    served_by TEXT,                     -- the provider behind the provider, as it names itself
    generation_id TEXT,
    status INTEGER,                     -- of the upstream answer
    outcome TEXT NOT NULL DEFAULT 'open',
    input_tokens INTEGER,
    output_tokens INTEGER,
    cached_tokens INTEGER,
    reasoning_tokens INTEGER,
    cost_pusd INTEGER CHECK (cost_pusd >= 0),
    cost_source TEXT NOT NULL DEFAULT 'none',
    ttft_ms INTEGER,
    duration_ms INTEGER,
    PRIMARY KEY (request_id, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE adjustments (
    id INTEGER PRIMARY KEY,
    request_id INTEGER NOT NULL,
    ts_ms INTEGER NOT NULL,
    amount_pusd INTEGER NOT NULL,       -- added to the request's cost; may be negative
    reason TEXT NOT NULL
) STRICT;

CREATE TABLE usage_hourly (
    hour_ms INTEGER NOT NULL,           -- start of the UTC hour in which the request began
    user TEXT NOT NULL,
    group_name TEXT NOT NULL,           -- '' for none: NULL cannot be part of the key
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    use_case TEXT NOT NULL,
    requests INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    uncounted_tokens INTEGER NOT NULL,  -- reserved by requests whose tokens nobody counted; token limits count them
    cost_pusd INTEGER NOT NULL,
    PRIMARY KEY (hour_ms, user, group_name, model, provider, use_case)
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    name TEXT PRIMARY KEY,
    group_name TEXT,
    settings TEXT NOT NULL DEFAULT '{}', -- JSON: limits, models, max_tokens as in the configuration
    disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,          -- SHA-256 of the whole token in hex
    user TEXT NOT NULL,
    name TEXT NOT NULL,
    hint TEXT NOT NULL,                 -- its last four characters
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1))
) STRICT;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    ts_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
INSERT INTO meta VALUES ('currency_code', 'USD'), ('currency_usd_rate', '1'), ('timezone', 'UTC');
PRAGMA user_version = 1;
