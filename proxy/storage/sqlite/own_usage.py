"""One user's own usage and requests.

Sums read the roll-up, and the rows of the one hour that a window begins in the middle of. The table has no index on
generation ids: one that holds the second it was made at is looked for around that time, any other one among the rows of
the last days, from the newest back.
"""

import re
import sqlite3
from collections.abc import Sequence

from proxy.storage.reports import TOKEN_CLASSES, ModelUsage, OwnAttempt, OwnRequest
from proxy.storage.rows import HOUR_MS, id_floor, id_number
from proxy.storage.sqlite.adjustments import with_late
from proxy.storage.sqlite.exact_sum import exact_sum, join_sums
from proxy.storage.sqlite.usage_daily import TIMES, rolled_sources

_SUMMED = ("requests", *TOKEN_CLASSES, "cost_pusd")
_SUMS = ", ".join([*(f"sum({name})" for name in _SUMMED[:-1]), exact_sum(_SUMMED[-1])])
_ROLLED = f"SELECT model, {_SUMS} FROM {{}} {TIMES} AND user = :user GROUP BY model"  # noqa: S608 - constants of this file
_EDGE = f"""
SELECT model, {_SUMS} FROM (
    SELECT ifnull(model, '') AS model, 1 AS requests,
        {", ".join(f"ifnull({name}, 0) AS {name}" for name in _SUMMED[1:])}
    FROM requests WHERE id >= :first AND id < :last AND user = :user AND started_ms >= :since AND started_ms < :until
        AND state IN ('settled', 'released')
    UNION ALL
    SELECT model, {", ".join(["0"] * (len(_SUMMED) - 1))}, amount_pusd
    FROM adjustments WHERE at_ms >= :since AND at_ms < :until AND user = :user
) GROUP BY model
"""  # noqa: S608 - constants of this file
_GENERATION_TIME = re.compile(r"gen-([0-9]{9,11})-")  # OpenRouter's ids: gen-<unix seconds>-<20 alphanumerics>
_AROUND_MS = 24 * 3_600_000  # a clock that is off, a request that waited for its answer
_NEWEST_MS = 7 * 24 * 3_600_000
_END_MS = 1 << 41  # beyond every id

_OWN = f"""
SELECT id, started_ms, user, endpoint, requested_model, model, provider, session_id, status, state, finish_reason,
    input_tokens, output_tokens, cached_tokens, reasoning_tokens,
    {with_late("cost_pusd", "(SELECT sum(amount_pusd) FROM adjustments WHERE request_id = requests.id)")},
    streamed, generation_id, ttft_ms, duration_ms
FROM requests WHERE id >= ?2 AND id < ?3 AND (?4 IS NULL OR generation_id = ?4) AND user = ?1
ORDER BY id DESC LIMIT 1
"""  # noqa: S608 - constants
_ATTEMPTS = """
SELECT n, provider, served_by, model, served_model, status, ttft_ms, duration_ms, key
FROM attempts WHERE request_id = ? ORDER BY n
"""


def spent_since(connection: sqlite3.Connection, user: str, starts_ms: Sequence[int]) -> list[int]:
    """Return what a user has spent since each of these instants, in pico-USD; each is the start of a UTC hour.

    Counts what is settled; what is still open or looked up is in none of them.
    """
    found = []
    for start_ms in starts_ms:
        pusd = 0
        for source, times in rolled_sources(connection, ("user",), start_ms):
            query = f"SELECT {exact_sum('cost_pusd')} FROM {source} {TIMES} AND user = :user"  # noqa: S608 - constants
            pusd += join_sums(*connection.execute(query, {"times": times, "user": user}).fetchone())
        found.append(pusd)
    return found


def spent_with(connection: sqlite3.Connection, user: str, key: str, starts_ms: Sequence[int]) -> list[int]:
    """Return what attempts with a key of this name have cost a user since each of these instants, in pico-USD.

    Read from single rows, so without what retention has removed.
    """
    places = range(3, len(starts_ms) + 3)
    sums = ", ".join(_sum_since("attempts.cost_pusd", "requests.started_ms", n) for n in places)
    query = (
        f"SELECT {sums} FROM requests JOIN attempts ON attempts.request_id = requests.id"  # noqa: S608 - as above
        " WHERE requests.user = ?1 AND attempts.key = ?2 AND requests.state IN ('settled', 'released')"
    )
    late = ", ".join(_sum_since("amount_pusd", "at_ms", n) for n in places)
    query_late = f"SELECT {late} FROM adjustments WHERE user = ?1 AND charged_key = ?2"  # noqa: S608 - as above
    found = (connection.execute(each, (user, key, *starts_ms)).fetchone() for each in (query, query_late))
    booked, adjusted = (
        [join_sums(*pair) for pair in zip(columns[::2], columns[1::2], strict=True)] for columns in found
    )
    return list(map(int.__add__, booked, adjusted))


def _sum_since(amount: str, at: str, place: int) -> str:
    """Return both columns of an exact sum from a bound instant on."""
    since = f"CASE WHEN {at} >= ?{place} THEN {amount} END"
    return exact_sum(since)


def usage_by_model(connection: sqlite3.Connection, user: str, start_ms: int) -> list[ModelUsage]:
    """Return what a user's requests since start_ms cost, most expensive model first."""
    whole_ms = -(-start_ms // HOUR_MS) * HOUR_MS  # the first full hour of the roll-up
    values = {"user": user, "since": start_ms, "until": whole_ms}
    values |= {"first": id_floor(start_ms), "last": id_floor(whole_ms)}
    rows = connection.execute(_EDGE, values).fetchall()
    for source, times in rolled_sources(connection, ("user", "model"), whole_ms):
        rows += connection.execute(_ROLLED.format(source), {"user": user, "times": times})
    sums: dict[str, list[int]] = {}
    for model, *counts, high, low in rows:
        figures = [*counts, join_sums(high, low)]
        sums[model] = list(map(int.__add__, sums.get(model, [0] * len(figures)), figures))
    found = sorted(sums.items(), key=lambda item: (-item[1][-1], item[0]))
    return [
        ModelUsage(model, requests, dict(zip(TOKEN_CLASSES, tokens, strict=True)), cost_pusd)
        for model, (requests, *tokens, cost_pusd) in found
    ]


def find_own(
    connection: sqlite3.Connection, user: str, id_: str, now_ms: int
) -> tuple[OwnRequest, tuple[OwnAttempt, ...]] | None:
    """Find a user's request by its own id (req_...) or its generation's; None where the user has none such."""
    first, end, generation_id = id_bounds(id_, now_ms)
    found = connection.execute(_OWN, (user, first, end, generation_id)).fetchone()
    if found is None:
        return None
    request = OwnRequest._make(found)
    return request, tuple(map(OwnAttempt._make, connection.execute(_ATTEMPTS, (request.id,))))


def id_bounds(id_: str, now_ms: int) -> tuple[int, int, str | None]:
    """Return the range of ids to search, and the generation id to look for."""
    number = id_number(id_)
    if number is not None and number < id_floor(_END_MS):
        return number, number + 1, None
    time = _GENERATION_TIME.match(id_)
    if time is None:
        return id_floor(max(0, now_ms - _NEWEST_MS)), id_floor(_END_MS), id_
    at_ms = min(int(time[1]) * 1000, _END_MS - _AROUND_MS)
    return id_floor(max(0, at_ms - _AROUND_MS)), id_floor(at_ms + _AROUND_MS), id_
