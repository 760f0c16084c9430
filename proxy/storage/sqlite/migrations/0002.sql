-- A request with one attempt, which is nearly every one, holds it in its own row: half the writes of an attempt of its
-- own. Only a request with further attempts has rows in attempt_rows, then for all of them. The view attempts shows both.

ALTER TABLE requests ADD COLUMN target_provider TEXT;   -- of the first attempt: row of the configuration
ALTER TABLE requests ADD COLUMN key TEXT;               -- of the first attempt: label of the provider key, never the key
ALTER TABLE requests ADD COLUMN target_model TEXT;      -- of the first attempt: the model as it was asked for
ALTER TABLE requests ADD COLUMN outcome TEXT NOT NULL DEFAULT 'open';  -- of the last attempt
ALTER TABLE requests ADD COLUMN upstream_status INTEGER;               -- of the last attempt
ALTER TABLE requests ADD COLUMN served_by TEXT;         -- the provider behind the provider, as it names itself

ALTER TABLE attempts RENAME TO attempt_rows;
-- what of the request's reservation stands for an attempt that is over; for the last one, NULL, it is the rest
ALTER TABLE attempt_rows ADD COLUMN reserved_pusd INTEGER CHECK (reserved_pusd >= 0);
ALTER TABLE attempt_rows ADD COLUMN reserved_tokens INTEGER CHECK (reserved_tokens >= 0);

-- NULL, of a request with one attempt: reserved_tokens where it was charged and nobody counted its tokens, else 0. Until
-- now that was left out where a cost came without tokens, and such rows stay as the roll-up has counted them.
ALTER TABLE requests ADD COLUMN uncounted_tokens INTEGER CHECK (uncounted_tokens >= 0);
UPDATE requests SET uncounted_tokens = 0
WHERE state = 'settled' AND input_tokens IS NULL AND output_tokens IS NULL AND reserved_tokens > 0
    AND cost_source NOT IN ('reservation', 'estimate', 'none');

CREATE VIEW attempts AS
SELECT id AS request_id, 1 AS n, started_ms, target_provider AS provider, key, target_model AS model,
    model AS served_model, served_by, generation_id, upstream_status AS status, outcome, input_tokens, output_tokens,
    cached_tokens, reasoning_tokens, cost_pusd, cost_source, ttft_ms, duration_ms, reserved_pusd,
    reserved_tokens
FROM requests
WHERE target_provider IS NOT NULL AND NOT EXISTS (SELECT 1 FROM attempt_rows WHERE request_id = requests.id)
UNION ALL
SELECT request_id, n, started_ms, provider, key, model, served_model, served_by, generation_id, status, outcome,
    input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost_pusd, cost_source, ttft_ms, duration_ms,
    reserved_pusd, reserved_tokens
FROM attempt_rows;

PRAGMA user_version = 2;
