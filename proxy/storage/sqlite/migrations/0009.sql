-- The ledger beside the provider's bill: one section for each noun.

-- adjustments: costs that became known after a request had ended, each with its sign; the request's row stays as it was. A
-- row keeps the key of the roll-up beside it, so that it is whole when retention has removed the request's own.
CREATE TABLE late_adjustments (
    id INTEGER PRIMARY KEY,
    request_id INTEGER,                 -- NULL: a cost that belongs to no request, then reference says which one it is
    attempt INTEGER,                    -- whose figure it was; NULL: not known
    at_ms INTEGER NOT NULL,             -- when the request began: the windows that it counts in
    ts_ms INTEGER NOT NULL,             -- when the cost became known
    day TEXT NOT NULL,                  -- of the request
    booked_pusd INTEGER NOT NULL,       -- what was booked before: cost and earlier adjustments
    amount_pusd INTEGER NOT NULL,       -- added to it; may be negative
    reason TEXT NOT NULL,
    source TEXT NOT NULL,               -- who says so
    reference TEXT,
    user TEXT NOT NULL,                 -- from here on as in usage_hourly
    group_name TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    use_case TEXT NOT NULL,
    groups_above TEXT NOT NULL,
    other_models TEXT NOT NULL,
    charged_provider TEXT,              -- the provider key whose limits count it
    charged_key TEXT,
    CHECK ((request_id IS NULL) = (reference IS NOT NULL)),
    CHECK (booked_pusd >= 0 AND booked_pusd + amount_pusd >= 0)
) STRICT;
INSERT INTO late_adjustments
SELECT a.id, a.request_id, NULL, ifnull(r.started_ms, a.ts_ms), a.ts_ms, ifnull(r.day, date(a.ts_ms / 1000, 'unixepoch')),
    max(0, -a.amount_pusd, ifnull(r.cost_pusd, 0) + ifnull((SELECT sum(b.amount_pusd) FROM adjustments b
        WHERE b.request_id = a.request_id AND b.id < a.id), 0)),
    a.amount_pusd, a.reason, '', NULL, ifnull(r.user, ''), ifnull(r.group_name, ''), ifnull(r.model, ''),
    ifnull(r.provider, ''), ifnull(r.use_case, ''), ifnull(r.groups_above, ''), ifnull(r.other_models, ''),
    r.target_provider, r.key
FROM adjustments a LEFT JOIN requests r ON r.id = a.request_id;
DROP VIEW IF EXISTS ai_usage_logs;      -- views.sql makes them anew
DROP VIEW IF EXISTS usage;
DROP TABLE adjustments;
ALTER TABLE late_adjustments RENAME TO adjustments;
CREATE INDEX adjustments_of_request ON adjustments (request_id);
CREATE INDEX adjustments_at ON adjustments (at_ms);
CREATE INDEX adjustments_of_reference ON adjustments (reference) WHERE reference IS NOT NULL;
-- reconciliations: what the provider charged by day, which it forgets itself after a month, and what a comparison with it
-- found. Days are UTC's, as those of the bill. key_hash: SHA-256 of a key in hex; '': all keys of the account.
CREATE TABLE provider_activity (
    provider TEXT NOT NULL,
    day TEXT NOT NULL,
    key_hash TEXT NOT NULL,
    model TEXT NOT NULL,
    permaslug TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    provider_name TEXT NOT NULL,
    usage_pusd INTEGER NOT NULL,
    byok_usage_pusd INTEGER NOT NULL,   -- that other providers bill for keys of the account's own, beside usage_pusd
    requests INTEGER,                   -- from here on NULL: the provider does not tell
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    reasoning_tokens INTEGER,
    cached_tokens INTEGER,
    fetched_ms INTEGER NOT NULL,
    PRIMARY KEY (provider, day, key_hash, model, permaslug, endpoint_id, provider_name)
) STRICT, WITHOUT ROWID;
CREATE TABLE reconciled_days (
    provider TEXT NOT NULL,
    day TEXT NOT NULL,
    level TEXT NOT NULL CHECK (level IN ('calls', 'models', 'history')),    -- how fine
    booked_pusd INTEGER NOT NULL,       -- in the ledger
    billed_pusd INTEGER NOT NULL,       -- by the provider
    calls INTEGER NOT NULL,             -- that the bill lists of the proxy's keys
    is_final INTEGER NOT NULL CHECK (is_final IN (0, 1)),       -- 1: the day is over, and nothing of it is awaited
    problem TEXT,                       -- why it was not compared whole
    compared_ms INTEGER NOT NULL,
    PRIMARY KEY (provider, day)
) STRICT, WITHOUT ROWID;
CREATE TABLE reconciliations (
    provider TEXT NOT NULL,
    day TEXT NOT NULL,
    class TEXT NOT NULL,
    amount_pusd INTEGER NOT NULL,       -- of the bill beyond the ledger; of all classes it is billed_pusd - booked_pusd
    number INTEGER NOT NULL,
    PRIMARY KEY (provider, day, class)
) STRICT, WITHOUT ROWID;
CREATE TABLE drift_entries (            -- the largest differences of each class, one by one
    provider TEXT NOT NULL,
    day TEXT NOT NULL,
    n INTEGER NOT NULL,
    class TEXT NOT NULL,
    amount_pusd INTEGER NOT NULL,
    request_id INTEGER,
    generation_id TEXT,
    key_hash TEXT NOT NULL,
    model TEXT NOT NULL,
    hour_ms INTEGER NOT NULL,
    booked_pusd INTEGER NOT NULL,
    billed_pusd INTEGER NOT NULL,
    actual_pusd INTEGER,                -- what it is to be booked at; NULL: nothing is to be booked
    PRIMARY KEY (provider, day, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE matched_calls (            -- calls of the bill that are requests which never learnt their generation id
    provider TEXT NOT NULL,
    generation_id TEXT NOT NULL,
    request_id INTEGER NOT NULL,
    PRIMARY KEY (provider, generation_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX matched_calls_of_request ON matched_calls (provider, request_id);

-- late lookups: attempts that were charged in full though the provider named a generation, until it tells what they cost or
-- has forgotten them
CREATE TABLE late_lookups (
    request_id INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    next_ms INTEGER NOT NULL,           -- not asked for before
    PRIMARY KEY (request_id, attempt)
) STRICT, WITHOUT ROWID;
INSERT INTO late_lookups (request_id, attempt, next_ms)
SELECT request_id, n, 0 FROM attempts
WHERE generation_id IS NOT NULL AND cost_source IN ('reservation', 'estimate')
    AND started_ms > (strftime('%s', 'now') - 30 * 86400) * 1000;

-- stops: what becomes of the requests that one concerns, and the alert rule that has made it
ALTER TABLE stops ADD COLUMN effect TEXT NOT NULL DEFAULT 'stop' CHECK (effect IN ('stop', 'slow', 'downgrade'));
ALTER TABLE stops ADD COLUMN preset TEXT NOT NULL DEFAULT '';      -- of downgrade
ALTER TABLE stops ADD COLUMN a_minute INTEGER NOT NULL DEFAULT 0;  -- of slow
ALTER TABLE stops ADD COLUMN rule TEXT;                            -- NULL: a person's
-- usage_hourly: how many of its requests have a flag that casts doubt on their figures, so that no report has to read rows
-- for that. Few have one: they are added by a statement of their own.
ALTER TABLE usage_hourly ADD COLUMN flagged INTEGER NOT NULL DEFAULT 0;
UPDATE usage_hourly SET flagged = f.flagged
FROM (
    SELECT started_ms - started_ms % 3600000 AS hour_ms, user, ifnull(group_name, '') AS group_name,
        ifnull(model, '') AS model, ifnull(provider, '') AS provider, ifnull(use_case, '') AS use_case,
        ifnull(groups_above, '') AS groups_above, ifnull(other_models, '') AS other_models, count(*) AS flagged
    FROM requests WHERE flags IS NOT NULL AND flags <> 'downgraded' AND state IN ('settled', 'released')
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
) AS f
WHERE usage_hourly.hour_ms = f.hour_ms AND usage_hourly.user = f.user AND usage_hourly.group_name = f.group_name
    AND usage_hourly.model = f.model AND usage_hourly.provider = f.provider AND usage_hourly.use_case = f.use_case
    AND usage_hourly.groups_above = f.groups_above AND usage_hourly.other_models = f.other_models;

-- what a request remembers of who was paid: the key that it went out with, an own key at the provider behind the provider
-- (BYOK), what that one charges, and how the provider names endpoint and model in its bill. NULL: nobody told.
CREATE TABLE key_hashes (
    id INTEGER PRIMARY KEY,   -- the first six bytes of the hash, so that it is known without asking
    hash TEXT NOT NULL,       -- SHA-256 of the key in hex, as OpenRouter's own
    provider TEXT NOT NULL,   -- row of the configuration that had it last
    name TEXT NOT NULL,       -- of the key there
    first_ms INTEGER NOT NULL
) STRICT;

ALTER TABLE requests ADD COLUMN key_id INTEGER;               -- of the first attempt; NULL: no key, or from before
ALTER TABLE requests ADD COLUMN is_byok INTEGER;              -- 1: of some attempt
ALTER TABLE requests ADD COLUMN upstream_cost_pusd INTEGER;   -- part of the cost where is_byok, else what it came from
ALTER TABLE requests ADD COLUMN endpoint_id TEXT;             -- of the last attempt, as permaslug
ALTER TABLE requests ADD COLUMN permaslug TEXT;

ALTER TABLE attempt_rows ADD COLUMN key_id INTEGER;
ALTER TABLE attempt_rows ADD COLUMN is_byok INTEGER;
ALTER TABLE attempt_rows ADD COLUMN upstream_cost_pusd INTEGER;
ALTER TABLE attempt_rows ADD COLUMN endpoint_id TEXT;
ALTER TABLE attempt_rows ADD COLUMN permaslug TEXT;

DROP VIEW attempts;
CREATE VIEW attempts AS
SELECT id AS request_id, 1 AS n, started_ms, target_provider AS provider, key, target_model AS model,
    model AS served_model, served_by, generation_id, upstream_status AS status, outcome, input_tokens, output_tokens,
    cached_tokens, reasoning_tokens, cost_pusd, cost_source, ttft_ms, duration_ms, reserved_pusd,
    reserved_tokens, cache_write_tokens, cache_write_1h_tokens, audio_input_tokens, audio_output_tokens,
    image_input_tokens, image_output_tokens, images, searches, is_byok, upstream_cost_pusd, endpoint_id, permaslug,
    (SELECT hash FROM key_hashes WHERE key_hashes.id = requests.key_id) AS key_hash
FROM requests
WHERE target_provider IS NOT NULL AND NOT EXISTS (SELECT 1 FROM attempt_rows WHERE request_id = requests.id)
UNION ALL
SELECT request_id, n, started_ms, provider, key, model, served_model, served_by, generation_id, status, outcome,
    input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost_pusd, cost_source, ttft_ms, duration_ms,
    reserved_pusd, reserved_tokens, cache_write_tokens, cache_write_1h_tokens, audio_input_tokens, audio_output_tokens,
    image_input_tokens, image_output_tokens, images, searches, is_byok, upstream_cost_pusd, endpoint_id, permaslug,
    (SELECT hash FROM key_hashes WHERE key_hashes.id = attempt_rows.key_id) AS key_hash
FROM attempt_rows;

-- performance: how requests were answered, in the roll-up; storage/performance.py says what counts holds. What ended before
-- this version is in none of it, and its hours are no longer whole.
ALTER TABLE usage_hourly ADD COLUMN answered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hourly ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0;       -- the client hung up
ALTER TABLE usage_hourly ADD COLUMN fallbacks INTEGER NOT NULL DEFAULT 0;       -- answers in the place of another target
ALTER TABLE usage_hourly ADD COLUMN latency_ms INTEGER NOT NULL DEFAULT 0;      -- that answers took
ALTER TABLE usage_hourly ADD COLUMN first_tokens INTEGER NOT NULL DEFAULT 0;    -- streamed answers with a first token
ALTER TABLE usage_hourly ADD COLUMN first_token_ms INTEGER NOT NULL DEFAULT 0;  -- that they took to it
ALTER TABLE usage_hourly ADD COLUMN counts BLOB NOT NULL DEFAULT x'';
INSERT INTO meta SELECT 'performance_from_ms', CAST(ifnull(max(hour_ms), -3600000) + 3600000 AS TEXT) FROM usage_hourly;
-- how far a zone's clocks are ahead of UTC, and since when: of the zone that reports have days in (meta: timezone)
CREATE TABLE zone_offsets (
    from_ms INTEGER PRIMARY KEY,
    offset_ms INTEGER NOT NULL
) STRICT;
INSERT INTO zone_offsets VALUES (0, 0);

PRAGMA user_version = 9;
