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
    r.input_tokens - min(r.input_tokens, ifnull(r.cached_tokens, 0) + ifnull(r.cache_write_tokens, 0)
        + ifnull(r.audio_input_tokens, 0) + ifnull(r.image_input_tokens, 0)) AS uncached_input_tokens,
    r.output_tokens - min(r.output_tokens, ifnull(r.reasoning_tokens, 0) + ifnull(r.audio_output_tokens, 0)
        + ifnull(r.image_output_tokens, 0)) AS visible_output_tokens,
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
    ts AS created_at,
    'proxy' AS source
FROM usage
UNION ALL
-- what no row tells of: a cost that the provider's bill has, and that was booked from it
SELECT
    nullif(user, ''), nullif(model, ''), nullif(provider, ''), nullif(use_case, ''), NULL, NULL, NULL,
    sum(amount_pusd) / 1e12, {local_of_bill} reference, 'success',
    strftime('%Y-%m-%dT%H:%M:%S', at_ms / 1000, 'unixepoch') || printf('.%03dZ', at_ms % 1000), 'bill'
FROM adjustments WHERE request_id IS NULL GROUP BY reference;

-- What was spent by day of the configured zone, with late corrections. Each token is in one class: the first five columns
-- of tokens add up to input_tokens, the next four to output_tokens (core/token_split.py).
DROP VIEW IF EXISTS usage_analytics;
CREATE VIEW usage_analytics AS
SELECT
    day, user, group_name, model, provider, use_case, requests, errors,
    input_tokens - cached - written - heard - min(image_input, input_tokens - cached - written - heard)
        AS uncached_input_tokens,
    cached AS cache_read_tokens, written AS cache_write_tokens, heard AS audio_input_tokens,
    min(image_input, input_tokens - cached - written - heard) AS image_input_tokens,
    output_tokens - thought - spoken - min(image_output, output_tokens - thought - spoken) AS visible_output_tokens,
    thought AS reasoning_tokens, spoken AS audio_output_tokens,
    min(image_output, output_tokens - thought - spoken) AS image_output_tokens,
    input_tokens, output_tokens, input_tokens + output_tokens AS total_tokens, images, searches,
    cost_pusd, cost_pusd / 1e12 AS cost_usd
FROM (
    SELECT *, min(audio_input, input_tokens - cached - written) AS heard,
        min(audio_output, output_tokens - thought) AS spoken
    FROM (
        SELECT *, min(cache_write, input_tokens - cached) AS written
        FROM (
            SELECT *, min(cache_read, input_tokens) AS cached, min(reasoning, output_tokens) AS thought
            FROM (
                SELECT
                    date((hour_ms + (SELECT offset_ms FROM zone_offsets WHERE from_ms <= hour_ms
                        ORDER BY from_ms DESC LIMIT 1)) / 1000, 'unixepoch') AS day,
                    nullif(user, '') AS user, nullif(group_name, '') AS group_name, nullif(model, '') AS model,
                    nullif(provider, '') AS provider, nullif(use_case, '') AS use_case,
                    sum(requests) AS requests, sum(errors) AS errors,
                    sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
                    sum(cached_tokens) AS cache_read, sum(cache_write_tokens) AS cache_write,
                    sum(audio_input_tokens) AS audio_input, sum(image_input_tokens) AS image_input,
                    sum(reasoning_tokens) AS reasoning, sum(audio_output_tokens) AS audio_output,
                    sum(image_output_tokens) AS image_output, sum(images) AS images, sum(searches) AS searches,
                    sum(cost_pusd) AS cost_pusd
                FROM usage_hourly GROUP BY 1, 2, 3, 4, 5, 6
            )
        )
    )
);

-- How models answered, since version 9 of the schema. Means; tollkeeper models stats has percentiles.
DROP VIEW IF EXISTS model_performance_summary;
CREATE VIEW model_performance_summary AS
SELECT
    nullif(h.provider, '') AS provider, nullif(h.model, '') AS model, sum(h.requests) AS requests,
    sum(h.answered) AS answered, sum(h.requests) - sum(h.answered) - sum(h.cancelled) AS errors, sum(h.cancelled) AS cancelled,
    sum(h.fallbacks) AS fallbacks,
    1.0 * sum(h.answered) / nullif(sum(h.requests) - sum(h.cancelled), 0) AS success_share,
    1.0 * sum(h.fallbacks) / nullif(sum(h.answered), 0) AS fallback_share,
    1.0 * sum(h.latency_ms) / nullif(sum(h.answered), 0) AS mean_latency_ms,
    1.0 * sum(h.first_token_ms) / nullif(sum(h.first_tokens), 0) AS mean_first_token_ms,
    sum(h.input_tokens) AS input_tokens, sum(h.output_tokens) AS output_tokens,
    sum(h.cost_pusd) AS cost_pusd, sum(h.cost_pusd) / 1e12 AS cost_usd,
    sum(h.cost_pusd) / 1e12 / nullif(sum(h.requests), 0) AS mean_cost_usd
FROM usage_hourly h
WHERE h.hour_ms >= (SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'performance_from_ms')
GROUP BY h.provider, h.model
HAVING sum(h.requests) > 0;

-- What the provider charged on days before the first request here. It is in no limit, and in no report of this ledger.
DROP VIEW IF EXISTS provider_history;
CREATE VIEW provider_history AS
SELECT provider, day, model, permaslug, endpoint_id, provider_name, requests, prompt_tokens AS input_tokens,
    completion_tokens AS output_tokens, cached_tokens, reasoning_tokens, usage_pusd AS cost_pusd,
    usage_pusd / 1e12 AS cost_usd, byok_usage_pusd AS upstream_cost_pusd
FROM provider_activity
WHERE key_hash = '' AND day < (SELECT ifnull(date(min(hour_ms) / 1000, 'unixepoch'), '9999') FROM usage_hourly
    WHERE requests > 0);

-- What other keys of the same account were charged since, on days that were compared call by call: the whole account's
-- sums without those of the keys here. It is in no limit, and in no report of this ledger.
DROP VIEW IF EXISTS other_keys_usage;
CREATE VIEW other_keys_usage AS
SELECT provider, day, model, permaslug, endpoint_id, provider_name,
    sum(CASE key_hash WHEN '' THEN requests ELSE -requests END) AS requests,
    sum(CASE key_hash WHEN '' THEN usage_pusd ELSE -usage_pusd END) AS cost_pusd,
    sum(CASE key_hash WHEN '' THEN usage_pusd ELSE -usage_pusd END) / 1e12 AS cost_usd,
    sum(CASE key_hash WHEN '' THEN byok_usage_pusd ELSE -byok_usage_pusd END) AS upstream_cost_pusd
FROM provider_activity a
WHERE EXISTS (SELECT 1 FROM reconciled_days d WHERE d.provider = a.provider AND d.day = a.day AND d.level = 'calls')
GROUP BY provider, day, model, permaslug, endpoint_id, provider_name
HAVING sum(CASE key_hash WHEN '' THEN usage_pusd + byok_usage_pusd ELSE -usage_pusd - byok_usage_pusd END) <> 0;
