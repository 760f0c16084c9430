"""A ledger as some months of use leave it, made by SQL in seconds: requests, their attempts and the hourly roll-up."""

import os
import time
from contextlib import closing
from pathlib import Path

from proxy.storage.sqlite.connect import connect_owner

_DAYS = 90
_HOUR_MS = 3_600_000

_REQUESTS = """
WITH RECURSIVE
    numbers(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i < :requests - 1),
    moments AS (SELECT i, :begin_ms + i * :span_ms / :requests AS at_ms FROM numbers)
INSERT INTO requests (id, started_ms, finished_ms, day, user, group_name, token_id, endpoint, requested_model, model,
    provider, use_case, session_id, status, finish_reason, input_tokens, output_tokens, cached_tokens,
    reasoning_tokens, reserved_pusd, cost_pusd, cost_source, state, ttft_ms, duration_ms, streamed, attempts,
    generation_id, target_provider, key, target_model, outcome, upstream_status)
SELECT (at_ms << 21) + i % 2097152, at_ms, at_ms + 900, date(at_ms / 1000, 'unixepoch'), 'user-' || (i % 50),
    CASE i % 50 % 3 WHEN 0 THEN 'family' END, 'token', 'chat/completions', 'fast', 'bench/model-' || (i % 5),
    'openrouter', CASE i % 4 WHEN 0 THEN 'sms' END, 'session-' || (i / 20), 200, 'stop', 500 + i % 1000, 100, 0, 0,
    900000000, 300000000 + i, 'provider', 'settled', 300, 900, 1, 1, 'gen-1793539200-' || printf('%020d', i),
    'openrouter', 'main', 'bench/model-' || (i % 5), 'ok', 200
FROM moments
"""
_HOURLY = """
INSERT INTO usage_hourly (hour_ms, user, group_name, model, provider, use_case, requests, errors, input_tokens,
    output_tokens, cached_tokens, reasoning_tokens, uncounted_tokens, cost_pusd)
SELECT started_ms - started_ms % :hour_ms, user, ifnull(group_name, ''), model, provider, ifnull(use_case, ''),
    count(*), 0, sum(input_tokens), sum(output_tokens), 0, 0, 0, sum(cost_pusd)
FROM requests GROUP BY 1, 2, 3, 4, 5, 6
"""
_FINISHED = "INSERT INTO meta SELECT 'unfinished_from', CAST(max(id) AS TEXT) FROM requests"  # as a writer leaves it


def make_ledger(path: Path, requests: int) -> None:
    """Make a ledger of settled requests, spread evenly over the last 90 days; returns when it is on the disk."""
    span_ms = _DAYS * 24 * _HOUR_MS
    begin_ms = time.time_ns() // 1_000_000 - span_ms
    with closing(connect_owner(path, 1.0)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.execute(_REQUESTS, {"requests": requests, "begin_ms": begin_ms, "span_ms": span_ms})
        connection.execute(_HOURLY, {"hour_ms": _HOUR_MS})
        connection.execute(_FINISHED)
        connection.execute("COMMIT")
    file = os.open(path, os.O_RDWR)
    try:
        os.fsync(file)  # else the kernel would write it while something is measured
    finally:
        os.close(file)
