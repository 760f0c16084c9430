-- The rarer classes of what was counted. NULL: the answer told none of them, as nearly all do; such a row is written once,
-- and these columns by a statement of their own.

ALTER TABLE requests ADD COLUMN cache_write_tokens INTEGER;      -- in input_tokens
ALTER TABLE requests ADD COLUMN cache_write_1h_tokens INTEGER;   -- of these: kept for an hour
ALTER TABLE requests ADD COLUMN audio_input_tokens INTEGER;
ALTER TABLE requests ADD COLUMN audio_output_tokens INTEGER;
ALTER TABLE requests ADD COLUMN image_input_tokens INTEGER;
ALTER TABLE requests ADD COLUMN image_output_tokens INTEGER;
ALTER TABLE requests ADD COLUMN images INTEGER;                  -- that the provider counted apiece
ALTER TABLE requests ADD COLUMN searches INTEGER;                -- of the web

ALTER TABLE attempt_rows ADD COLUMN cache_write_tokens INTEGER;
ALTER TABLE attempt_rows ADD COLUMN cache_write_1h_tokens INTEGER;
ALTER TABLE attempt_rows ADD COLUMN audio_input_tokens INTEGER;
ALTER TABLE attempt_rows ADD COLUMN audio_output_tokens INTEGER;
ALTER TABLE attempt_rows ADD COLUMN image_input_tokens INTEGER;
ALTER TABLE attempt_rows ADD COLUMN image_output_tokens INTEGER;
ALTER TABLE attempt_rows ADD COLUMN images INTEGER;
ALTER TABLE attempt_rows ADD COLUMN searches INTEGER;

ALTER TABLE usage_hourly ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hourly ADD COLUMN cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hourly ADD COLUMN audio_input_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hourly ADD COLUMN audio_output_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hourly ADD COLUMN image_input_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hourly ADD COLUMN image_output_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hourly ADD COLUMN images INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hourly ADD COLUMN searches INTEGER NOT NULL DEFAULT 0;

DROP VIEW attempts;
CREATE VIEW attempts AS
SELECT id AS request_id, 1 AS n, started_ms, target_provider AS provider, key, target_model AS model,
    model AS served_model, served_by, generation_id, upstream_status AS status, outcome, input_tokens, output_tokens,
    cached_tokens, reasoning_tokens, cost_pusd, cost_source, ttft_ms, duration_ms, reserved_pusd,
    reserved_tokens, cache_write_tokens, cache_write_1h_tokens, audio_input_tokens, audio_output_tokens,
    image_input_tokens, image_output_tokens, images, searches
FROM requests
WHERE target_provider IS NOT NULL AND NOT EXISTS (SELECT 1 FROM attempt_rows WHERE request_id = requests.id)
UNION ALL
SELECT request_id, n, started_ms, provider, key, model, served_model, served_by, generation_id, status, outcome,
    input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost_pusd, cost_source, ttft_ms, duration_ms,
    reserved_pusd, reserved_tokens, cache_write_tokens, cache_write_1h_tokens, audio_input_tokens, audio_output_tokens,
    image_input_tokens, image_output_tokens, images, searches
FROM attempt_rows;

PRAGMA user_version = 5;
