-- The contract for reports, notebooks and scripts. Made anew at each start, for the local currency is a setting.
-- Sum money by sum(cost_pusd) / 1e12: integers add up exactly, floats drift.
DROP VIEW IF EXISTS usage;
CREATE VIEW usage AS
SELECT
    'req_' || printf('%016x', r.id) AS request_id,
    strftime('%Y-%m-%dT%H:%M:%S', r.started_ms / 1000, 'unixepoch')
        || printf('.%03dZ', r.started_ms % 1000) AS ts,
    r.day, r.user, r.group_name, r.token_id, r.endpoint, r.use_case, r.session_id, r.tags,
    r.requested_model, r.model, r.provider, r.status, r.state,
    r.input_tokens, r.output_tokens, r.cached_tokens, r.reasoning_tokens,
    r.input_tokens + r.output_tokens AS total_tokens,
    coalesce(r.cost_pusd + a.amount_pusd, a.amount_pusd, r.cost_pusd) AS cost_pusd,
    coalesce(r.cost_pusd + a.amount_pusd, a.amount_pusd, r.cost_pusd) / 1e12 AS cost_usd,
    coalesce(r.cost_pusd + a.amount_pusd, a.amount_pusd, r.cost_pusd) / 1e12
        * (SELECT CAST(usd_rate AS REAL) FROM rates
            WHERE code = (SELECT value FROM meta WHERE name = 'currency_code') AND from_ms <= r.started_ms
            ORDER BY from_ms DESC LIMIT 1) AS cost_local,
    r.cost_source, r.reserved_pusd, r.generation_id, r.attempts, r.streamed,
    r.ttft_ms, r.duration_ms, r.error, r.finish_reason, r.flags,
    r.cache_write_tokens, r.cache_write_1h_tokens, r.audio_input_tokens, r.audio_output_tokens,
    r.image_input_tokens, r.image_output_tokens, r.images, r.searches,
    r.is_byok, r.upstream_cost_pusd, r.endpoint_id, r.permaslug,
    (SELECT hash FROM key_hashes WHERE id = CASE WHEN r.attempts > 1
        THEN (SELECT key_id FROM attempt_rows WHERE request_id = r.id AND n = r.attempts) ELSE r.key_id END) AS key_hash
FROM requests r
LEFT JOIN (SELECT request_id, sum(amount_pusd) AS amount_pusd FROM adjustments GROUP BY request_id) a
    ON a.request_id = r.id;

DROP VIEW IF EXISTS ai_usage_logs;
CREATE VIEW ai_usage_logs AS
SELECT
    user AS user_id, model, provider, use_case,
    input_tokens AS prompt_tokens, output_tokens AS completion_tokens, total_tokens,
    cost_usd, {local} generation_id,
    CASE
        WHEN state IN ('open', 'pending') THEN 'pending'
        WHEN status BETWEEN 200 AND 299 AND error IS NULL THEN 'success'
        WHEN status = 499 THEN 'cancelled'
        ELSE 'error'
    END AS status,
    ts AS created_at
FROM usage;

-- What the provider charged on days before the first request here. It is in no limit, and in no report of this ledger.
DROP VIEW IF EXISTS provider_history;
CREATE VIEW provider_history AS
SELECT provider, day, model, permaslug, endpoint_id, provider_name, requests, prompt_tokens AS input_tokens,
    completion_tokens AS output_tokens, cached_tokens, reasoning_tokens, usage_pusd AS cost_pusd,
    usage_pusd / 1e12 AS cost_usd, byok_usage_pusd AS upstream_cost_pusd
FROM provider_activity
WHERE key_hash = '' AND day < (SELECT ifnull(date(min(hour_ms) / 1000, 'unixepoch'), '9999') FROM usage_hourly
    WHERE requests > 0);
