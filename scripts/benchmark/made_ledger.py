"""A ledger as some months of use leave it, made by SQL in seconds: requests, their attempts and the roll-up.

    python made_ledger.py FILE REQUESTS [USERS] [MODELS]

Who asks and which model is drawn as in life: of the n-th user or model there are about 1/n as many requests as of the
first (Zipf). Days that are over are summed, and the views are made, as a proxy leaves them.
"""

import math
import os
import random
import sys
import time
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

from proxy.core.histogram import bucket_of
from proxy.storage.labels import Labels
from proxy.storage.performance import FIRST_TOKEN, SPEED
from proxy.storage.sqlite.connect import connect_owner
from proxy.storage.sqlite.labels import set_labels
from proxy.storage.sqlite.usage_daily import past_days, sum_days

_DAYS = 90
_HOUR_MS = 3_600_000
_DRAWS = 1 << 17  # then they come again
_SLICE = 100_000
_TTFT_MS, _DURATION_MS, _TOKENS = 300, 900, 100

_DRAWN = "CREATE TEMP TABLE drawn (n INTEGER PRIMARY KEY, user INTEGER, model INTEGER)"
_REQUESTS = """
WITH RECURSIVE
    numbers(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i < :requests - 1),
    moments AS (SELECT i, :begin_ms + i * :span_ms / :requests AS at_ms FROM numbers)
INSERT INTO requests (id, started_ms, finished_ms, day, user, group_name, token_id, endpoint, requested_model, model,
    provider, use_case, session_id, status, finish_reason, input_tokens, output_tokens, cached_tokens,
    reasoning_tokens, reserved_pusd, cost_pusd, cost_source, state, ttft_ms, duration_ms, streamed, attempts,
    generation_id, target_provider, key, target_model, outcome, upstream_status)
SELECT (at_ms << 21) + i % 2097152, at_ms, at_ms + :duration_ms, date(at_ms / 1000, 'unixepoch'),
    'user-' || drawn.user, CASE drawn.user % 3 WHEN 0 THEN 'family' END, 'token', 'chat/completions', 'fast',
    'bench/model-' || drawn.model, 'openrouter', CASE drawn.user % 4 WHEN 0 THEN 'sms' END, 'session-' || (i / 20),
    200, 'stop', 500 + i % 1000, :tokens, 0, 0, 900000000, 300000000 + i, 'provider', 'settled', :ttft_ms, :duration_ms,
    1, 1, 'gen-1793539200-' || printf('%020d', i), 'openrouter', 'main', 'bench/model-' || drawn.model, 'ok', 200
FROM moments JOIN drawn ON drawn.n = i % :draws
"""
_HOURLY = """
INSERT INTO usage_hourly (hour_ms, user, group_name, model, provider, use_case, requests, errors, input_tokens,
    output_tokens, cached_tokens, reasoning_tokens, uncounted_tokens, cost_pusd, answered, latency_ms, first_tokens,
    first_token_ms, counts)
SELECT started_ms - started_ms % :hour_ms, user, ifnull(group_name, ''), model, provider, ifnull(use_case, ''),
    count(*), 0, sum(input_tokens), sum(output_tokens), 0, 0, 0, sum(cost_pusd), count(*), sum(duration_ms), count(*),
    sum(ttft_ms), counts_of(count(*))
FROM requests GROUP BY 1, 2, 3, 4, 5, 6
"""
_FINISHED = "INSERT INTO meta SELECT 'unfinished_from', CAST(max(id) AS TEXT) FROM requests"  # as a writer leaves it


def make_ledger(path: Path, requests: int, users: int = 50, models: int = 5) -> None:
    """Make a ledger of settled requests, spread evenly over the last 90 days; returns when it is on the disk."""
    span_ms = _DAYS * 24 * _HOUR_MS
    now_ms = time.time_ns() // 1_000_000
    chance = random.Random(1)
    drawn = [(n, draw(chance, users), draw(chance, models)) for n in range(_DRAWS)]
    values = {"requests": requests, "begin_ms": now_ms - span_ms, "span_ms": span_ms, "draws": _DRAWS}
    values |= {"ttft_ms": _TTFT_MS, "duration_ms": _DURATION_MS, "tokens": _TOKENS}
    with closing(connect_owner(path, 1.0)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.create_function("counts_of", 1, _counts_of, deterministic=True)
        connection.execute(_DRAWN)
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO drawn VALUES (?, ?, ?)", drawn)
        connection.execute(_REQUESTS, values)
        connection.execute(_HOURLY, {"hour_ms": _HOUR_MS})
        connection.execute(_FINISHED)
        set_labels(connection, Labels("UTC", "USD", "1"), now_ms)
        days = past_days(connection, ZoneInfo("UTC"), now_ms)
        while sum_days(connection, days, _SLICE):
            pass
        connection.execute("COMMIT")
    file = os.open(path, os.O_RDWR)
    try:
        os.fsync(file)  # else the kernel would write it while something is measured
    finally:
        os.close(file)


def draw(chance: random.Random, count: int) -> int:
    """Return a number below count; the chance of the n-th is about 1/n of that of the first."""
    return int(math.exp(chance.random() * math.log(count + 1))) - 1


def _counts_of(requests: int) -> bytes:
    """Return the histograms of so many answers that were all alike."""
    speed = SPEED + bucket_of(_TOKENS * 100_000 // (_DURATION_MS - _TTFT_MS))
    return bytes((bucket_of(_DURATION_MS), FIRST_TOKEN + bucket_of(_TTFT_MS), speed)) * requests


if __name__ == "__main__":
    make_ledger(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
