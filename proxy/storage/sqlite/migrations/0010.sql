-- Pages for people, and sums for them: one section for each noun. The version stands at the end.

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

-- daily usage: the roll-up by the hour, summed once more by days of the configured zone that are over. Each facet is a table
-- of its own by some of the columns, empty in all others (storage/sqlite/usage_daily.py). A change of an hour changes its day
-- in the same transaction.
CREATE TABLE usage_daily (
    facet INTEGER NOT NULL,
    day_ms INTEGER NOT NULL,            -- start_ms of daily_spans
    user TEXT NOT NULL DEFAULT '',
    group_name TEXT NOT NULL DEFAULT '',
    model TEXT NOT NULL DEFAULT '',
    provider TEXT NOT NULL DEFAULT '',
    use_case TEXT NOT NULL DEFAULT '',
    requests INTEGER NOT NULL DEFAULT 0,
    errors INTEGER NOT NULL DEFAULT 0,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    cached_tokens INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0,
    cost_pusd INTEGER NOT NULL DEFAULT 0,
    cache_write_tokens INTEGER NOT NULL DEFAULT 0,
    cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0,
    audio_input_tokens INTEGER NOT NULL DEFAULT 0,
    audio_output_tokens INTEGER NOT NULL DEFAULT 0,
    image_input_tokens INTEGER NOT NULL DEFAULT 0,
    image_output_tokens INTEGER NOT NULL DEFAULT 0,
    images INTEGER NOT NULL DEFAULT 0,
    searches INTEGER NOT NULL DEFAULT 0,
    flagged INTEGER NOT NULL DEFAULT 0,
    answered INTEGER NOT NULL DEFAULT 0,        -- this one and all that follow: by model only
    cancelled INTEGER NOT NULL DEFAULT 0,
    fallbacks INTEGER NOT NULL DEFAULT 0,
    latency_ms INTEGER NOT NULL DEFAULT 0,
    first_tokens INTEGER NOT NULL DEFAULT 0,
    first_token_ms INTEGER NOT NULL DEFAULT 0,
    counts BLOB NOT NULL DEFAULT x'',
    PRIMARY KEY (facet, day_ms, user, group_name, model, provider, use_case)
) STRICT, WITHOUT ROWID;
-- the whole hours of UTC of a day that are summed there. filling: as far as done tells, the key of the last row of
-- usage_hourly as JSON. spoilt: no longer wanted, to be removed with its sums.
CREATE TABLE daily_spans (
    start_ms INTEGER PRIMARY KEY,
    end_ms INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('filling', 'whole', 'spoilt')),
    done TEXT
) STRICT;

PRAGMA user_version = 10;
