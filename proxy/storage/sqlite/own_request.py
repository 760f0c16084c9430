"""One settled request of a user's own, found by the id that the user knows it by.

The table has no index on generation ids: one that holds the second it was made at is looked for around that time, any
other one among the rows of the last days, from the newest back.
"""

import re
from pathlib import Path
from typing import NamedTuple

from proxy.storage.rows import id_floor, id_number
from proxy.storage.sqlite.own_usage import reading

_GENERATION_TIME = re.compile(r"gen-([0-9]{9,11})-")  # OpenRouter's ids: gen-<unix seconds>-<20 alphanumerics>
_AROUND_MS = 24 * 3_600_000  # a clock that is off, a request that waited for its answer
_NEWEST_MS = 7 * 24 * 3_600_000
_END_MS = 1 << 41  # beyond every id

_SQL = """
SELECT id, started_ms, user, endpoint, requested_model, model, provider, session_id, status, state, finish_reason,
    input_tokens, output_tokens, cached_tokens, reasoning_tokens,
    cost_pusd + ifnull((SELECT sum(amount_pusd) FROM adjustments WHERE request_id = requests.id), 0),
    streamed, generation_id, ttft_ms, duration_ms
FROM requests WHERE id >= ?2 AND id < ?3 AND (?4 IS NULL OR generation_id = ?4) AND user = ?1
ORDER BY id DESC LIMIT 1
"""
_ATTEMPTS = """
SELECT n, provider, served_by, model, served_model, status, ttft_ms, duration_ms, key
FROM attempts WHERE request_id = ? ORDER BY n
"""


class OwnAttempt(NamedTuple):
    """One upstream call; served_by is the provider behind the provider, key the name of the key it went with."""

    n: int
    provider: str
    served_by: str | None
    model: str
    served_model: str | None
    status: int | None
    ttft_ms: int | None
    duration_ms: int | None
    key: str | None


class OwnRequest(NamedTuple):
    """One request; cost_pusd with its late corrections, None where nobody could tell."""

    id: int
    started_ms: int
    user: str
    endpoint: str
    requested_model: str
    model: str | None
    provider: str | None
    session_id: str | None
    status: int | None
    state: str
    finish_reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost_pusd: int | None
    streamed: int
    generation_id: str | None
    ttft_ms: int | None
    duration_ms: int | None


async def find_own(
    database: Path, user: str, id_: str, now_ms: int
) -> tuple[OwnRequest, tuple[OwnAttempt, ...]] | None:
    """Find a user's request by its own id (req_...) or its generation's; None where the user has none such."""
    first, end, generation_id = _where(id_, now_ms)
    async with reading(database) as connection:
        async with connection.execute(_SQL, (user, first, end, generation_id)) as rows:
            found = await rows.fetchone()
        if found is None:
            return None
        request = OwnRequest(*found)
        async with connection.execute(_ATTEMPTS, (request.id,)) as rows:
            attempts = tuple(OwnAttempt(*row) for row in await rows.fetchall())
    return request, attempts


def _where(id_: str, now_ms: int) -> tuple[int, int, str | None]:
    """Return the range of ids to search, and the generation id to look for."""
    number = id_number(id_)
    if number is not None and number < id_floor(_END_MS):
        return number, number + 1, None
    time = _GENERATION_TIME.match(id_)
    if time is None:
        return id_floor(max(0, now_ms - _NEWEST_MS)), id_floor(_END_MS), id_
    at_ms = min(int(time[1]) * 1000, _END_MS - _AROUND_MS)
    return id_floor(max(0, at_ms - _AROUND_MS)), id_floor(at_ms + _AROUND_MS), id_
