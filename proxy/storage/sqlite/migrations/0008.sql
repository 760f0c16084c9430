-- What an operator changes at run time lives beside the ledger: one section for each noun.

-- limits on sets of models and of groups within groups: what a request counts in, and sums by hour of it. groups_above:
-- those above the request's group when it began, the nearest first, with spaces between them; '' or NULL: none.
-- other_models: what besides provider and model may have been paid for, provider/model on a line each; '' or NULL: nothing.
ALTER TABLE requests ADD COLUMN groups_above TEXT;
ALTER TABLE requests ADD COLUMN other_models TEXT;
CREATE TABLE hourly (
    hour_ms INTEGER NOT NULL,
    user TEXT NOT NULL,
    group_name TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    use_case TEXT NOT NULL,
    groups_above TEXT NOT NULL DEFAULT '',
    other_models TEXT NOT NULL DEFAULT '',
    requests INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    uncounted_tokens INTEGER NOT NULL,
    cost_pusd INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL DEFAULT 0,
    cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0,
    audio_input_tokens INTEGER NOT NULL DEFAULT 0,
    audio_output_tokens INTEGER NOT NULL DEFAULT 0,
    image_input_tokens INTEGER NOT NULL DEFAULT 0,
    image_output_tokens INTEGER NOT NULL DEFAULT 0,
    images INTEGER NOT NULL DEFAULT 0,
    searches INTEGER NOT NULL DEFAULT 0,
    uncounted_images INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (hour_ms, user, group_name, model, provider, use_case, groups_above, other_models)
) STRICT, WITHOUT ROWID;
INSERT INTO hourly
SELECT hour_ms, user, group_name, model, provider, use_case, '', '', requests, errors, input_tokens, output_tokens,
    cached_tokens, reasoning_tokens, uncounted_tokens, cost_pusd, cache_write_tokens, cache_write_1h_tokens,
    audio_input_tokens, audio_output_tokens, image_input_tokens, image_output_tokens, images, searches, uncounted_images
FROM usage_hourly;
DROP TABLE usage_hourly;
ALTER TABLE hourly RENAME TO usage_hourly;

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

-- refusals: requests that were answered with an error and have no row in requests, failed authentications among them. An
-- id stands in one of the two tables. Written once a second, and bounded in number. Under a flood a row may stand for many
-- alike: more is how many besides the request that it names. No text of a client or a provider but for names, cut to size.
CREATE TABLE refusals (
    id INTEGER PRIMARY KEY,             -- of the request
    started_ms INTEGER NOT NULL,
    user TEXT,                          -- NULL: not known, or (with more) not one alone
    group_name TEXT,
    token_id TEXT,
    address TEXT NOT NULL,              -- that it came from; '' over the Unix socket; of a row with more its network
    endpoint TEXT NOT NULL,
    requested_model TEXT,
    use_case TEXT,
    session_id TEXT,
    status INTEGER NOT NULL,
    error TEXT NOT NULL,                -- a code of docs/reference/errors.md
    param TEXT,
    fault TEXT NOT NULL,                -- caller, provider or ours
    reason TEXT,                        -- the text of the answer, where every word of it is ours
    limit_json TEXT,                    -- JSON object: the limit that refused, and its figures
    duration_ms INTEGER NOT NULL,
    more INTEGER NOT NULL DEFAULT 0 CHECK (more >= 0)
) STRICT;

-- sealed values: secrets of other tables, AES-256-GCM, each bound to its place and to the salt in meta (seal_salt).
-- A secret stands nowhere else: a rotation of the master key goes through this table alone.
CREATE TABLE sealed_values (
    id INTEGER PRIMARY KEY,
    of_table TEXT NOT NULL,
    of_row TEXT NOT NULL,     -- what identifies the row for good
    of_column TEXT NOT NULL,
    version INTEGER NOT NULL, -- how many times it was set
    sealed TEXT NOT NULL,     -- v1.<id of the master key>.<nonce>.<ciphertext and tag>
    UNIQUE (of_table, of_row, of_column)
) STRICT;

-- groups: as under groups: of the configuration; the settings are JSON in its words
CREATE TABLE groups (
    name TEXT PRIMARY KEY,
    settings TEXT NOT NULL DEFAULT '{}',
    created_ms INTEGER NOT NULL
) STRICT;

-- limits of no user and no group; those of a user or a group are in its settings
CREATE TABLE limits (
    scope TEXT NOT NULL CHECK (scope IN ('all', 'each_user', 'use_case')),
    name TEXT NOT NULL,       -- of the use case, else ''
    settings TEXT NOT NULL,   -- JSON: limits by kind, as in the configuration
    PRIMARY KEY (scope, name)
) STRICT;

-- operators: who may use the operator's API by a token of their own.
CREATE TABLE operators (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'admin')),
    hash TEXT NOT NULL UNIQUE,  -- SHA-256 of the token, hex
    hint TEXT NOT NULL,         -- the token's last four characters
    created_ms INTEGER NOT NULL,
    rotated_ms INTEGER,         -- when the token was replaced last
    expires_ms INTEGER,
    disabled INTEGER NOT NULL DEFAULT 0
) STRICT;

-- admin_posts: POSTs to the operator's API with an Idempotency-Key, for a day
CREATE TABLE admin_posts (
    key_hash BLOB PRIMARY KEY,  -- SHA-256 of who asks and the key
    body_hash BLOB NOT NULL,    -- SHA-256 of path, query and body
    at_ms INTEGER NOT NULL,
    status INTEGER,             -- NULL: the answer is not kept
    answer BLOB
) STRICT;
-- provider keys: those that were added at run time; the key itself is sealed, under provider_keys, its provider, name and
-- owner, and secret. A row without a hint only disables a key of the configuration.
CREATE TABLE provider_keys (
    provider TEXT NOT NULL,
    name TEXT NOT NULL,
    user TEXT,                -- whose own key it is; NULL and no group: anybody's
    group_name TEXT,
    hint TEXT,                -- its last four characters, '' of a short one
    settings TEXT NOT NULL,   -- JSON: priority, weight, limits, valid_from, valid_until, as in the configuration
    disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    created_ms INTEGER NOT NULL,
    rotated_ms INTEGER,
    PRIMARY KEY (provider, name),
    CHECK (user IS NULL OR group_name IS NULL)
) STRICT, WITHOUT ROWID;

-- stops: what an operator has stopped and not let go on; what has ended is in audit alone.
CREATE TABLE stops (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('all', 'user', 'group', 'token', 'preset', 'model', 'provider')),
    subject TEXT NOT NULL,    -- a name; of a model a pattern; '' for all
    reason TEXT,
    cut INTEGER NOT NULL CHECK (cut IN (0, 1)),
    actor TEXT NOT NULL,
    source TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    until_ms INTEGER          -- NULL: until somebody resumes it
) STRICT;
-- preferences: what users have set for themselves at /v1/me/preferences
CREATE TABLE preferences (
    user TEXT PRIMARY KEY,
    settings TEXT NOT NULL,   -- JSON, of config/preferences.py
    changed_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- models and providers: what the operator says of them at run time, over the configuration
CREATE TABLE models (
    name TEXT PRIMARY KEY,    -- may hold * for any text
    settings TEXT NOT NULL,   -- JSON, of config/model.py
    changed_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE providers (
    name TEXT PRIMARY KEY,
    settings TEXT NOT NULL,   -- JSON: enabled
    changed_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- alerts: rules of run time, where each stands, what was told, and what is still to be delivered
CREATE TABLE alert_rules (
    name TEXT PRIMARY KEY,
    settings TEXT NOT NULL,       -- JSON, as in the configuration
    created_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE alert_destinations (
    name TEXT PRIMARY KEY,
    settings TEXT NOT NULL,       -- JSON, as in the configuration, without secrets
    secrets TEXT NOT NULL,        -- JSON: which are sealed under alert_destinations and its name
    created_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE alert_states (
    rule TEXT NOT NULL,
    subject TEXT NOT NULL,
    level INTEGER NOT NULL,       -- thresholds that are reached
    peak INTEGER NOT NULL,        -- thresholds that were told in the window
    window_ms INTEGER NOT NULL,   -- when it began
    is_told INTEGER NOT NULL,     -- so its end will be told
    since_ms INTEGER,
    fired_ms INTEGER,
    of TEXT NOT NULL,             -- the measure and the thresholds that it tells of
    PRIMARY KEY (rule, subject)
) STRICT;
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    rule TEXT NOT NULL,
    subject TEXT NOT NULL,
    once_ms INTEGER NOT NULL,     -- the window, or the firing, that it is told once of
    told TEXT NOT NULL,           -- fired, recovered, test
    threshold TEXT NOT NULL,      -- which, with its measure
    message TEXT NOT NULL,        -- JSON
    UNIQUE (rule, subject, once_ms, told, threshold)
) STRICT;
CREATE TABLE alert_deliveries (
    id INTEGER PRIMARY KEY,
    alert INTEGER NOT NULL REFERENCES alerts (id),
    destination TEXT NOT NULL,
    state TEXT NOT NULL,          -- waiting, delivered, failed
    attempts INTEGER NOT NULL DEFAULT 0,
    next_ms INTEGER,              -- not before; NULL: no more
    ended_ms INTEGER,
    status INTEGER,               -- of the last answer
    problem TEXT                  -- of the last attempt
) STRICT;
CREATE INDEX alert_deliveries_waiting ON alert_deliveries (next_ms) WHERE state = 'waiting';
CREATE INDEX alert_deliveries_of ON alert_deliveries (alert);
CREATE TABLE alert_silences (
    rule TEXT PRIMARY KEY,
    until_ms INTEGER NOT NULL,
    reason TEXT,
    actor TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE alert_disabled (     -- destinations that answered that they want nothing more (410)
    destination TEXT PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE TABLE alert_samples (      -- figures that later ones are compared with
    measure TEXT NOT NULL,
    subject TEXT NOT NULL,
    at_ms INTEGER NOT NULL,       -- 0: the only one of its subject
    value TEXT NOT NULL,          -- JSON
    PRIMARY KEY (measure, subject, at_ms)
) STRICT;

-- configurations: the last ones that were in force, for people to compare
CREATE TABLE configurations (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    source TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    file TEXT,
    changes TEXT NOT NULL,  -- JSON: lines
    text TEXT NOT NULL      -- of the file, secrets masked
) STRICT;

PRAGMA user_version = 8;
