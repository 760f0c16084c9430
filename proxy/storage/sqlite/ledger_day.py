"""A day of the ledger for the comparison with the bill: what agrees at sight is counted in SQL, the rest is returned.

The calls of the bill go into a temporary table of a connection of its own, and one statement goes over the day: while
it runs, neither the interpreter nor the writer waits for it.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from proxy.policy.reconciliation.day_comparison import SUM, BookedApart, BookedRequest
from proxy.policy.reconciliation.sums_comparison import BookedSum
from proxy.storage.reconciliation import DayQuestion, LedgerDay
from proxy.storage.rows import id_floor
from proxy.storage.sqlite.retention import removed_before_ms

_DAY_MS: Final = 86_400_000
_MARGIN_MS: Final = 2 * 3_600_000  # how long after midnight a call may be billed: nothing takes longer to answer
_SKEW_MS: Final = 3_600_000  # ids go on where a clock steps back; the time that counts is in the row
_BILLED = """
CREATE TEMP TABLE billed (generation_id TEXT PRIMARY KEY, cost_pusd INTEGER NOT NULL, later INTEGER NOT NULL)
WITHOUT ROWID
"""
# many rows in one statement, during which the interpreter is free; with a statement for each it would hardly be
_LOADED: Final = 2_000
_LOAD = """
INSERT OR IGNORE INTO billed
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?)
"""
_ADJUSTED = """
CREATE TEMP TABLE adjusted AS
SELECT request_id, sum(amount_pusd) AS all_pusd,
    sum(CASE WHEN charged_provider IS NULL OR charged_provider = ?3 THEN amount_pusd ELSE 0 END) AS here_pusd
FROM adjustments WHERE request_id >= ?1 AND request_id < ?2 GROUP BY 1
"""
# an attempt of its own row, of which the view attempts makes one; those of several attempts are in attempt_rows
_ALONE = "(r.attempts = 1 OR NOT EXISTS (SELECT 1 FROM attempt_rows WHERE request_id = r.id))"
# a row and its call have the same figure; or neither has one
_AGREED = """(
    CASE WHEN b.generation_id IS NULL THEN r.cost_pusd IS 0  -- NULL: nobody knows what it cost
    ELSE b.later = 0 AND b.cost_pusd IS r.cost_pusd AND r.is_byok IS NOT 1 END
    AND (r.state = 'settled' OR r.state = 'released')
    AND NOT EXISTS (SELECT 1 FROM adjusted WHERE adjusted.request_id = r.id)
)"""
_OVERVIEW = f"""
SELECT count(b.generation_id),
    ifnull(sum(b.cost_pusd) FILTER (WHERE {_AGREED}), 0),
    json_group_array(r.id) FILTER (WHERE NOT {_AGREED})
FROM requests r LEFT JOIN billed b ON b.generation_id = r.generation_id
WHERE r.id >= :from_id AND r.id < :to_id AND r.started_ms >= :from_ms AND r.started_ms < :to_ms
    AND r.target_provider = :provider AND {_ALONE}
"""  # noqa: S608 - constants of this file
_ROWS = """
SELECT r.id, r.started_ms, r.finished_ms, r.user, r.key, (SELECT hash FROM key_hashes WHERE id = r.key_id),
    r.target_model, r.generation_id, ifnull(r.cost_pusd, 0), ifnull(a.here_pusd, 0), ifnull(a.all_pusd, 0),
    CASE WHEN r.is_byok = 1 THEN ifnull(r.upstream_cost_pusd, 0) ELSE 0 END, r.cost_source, r.state,
    ifnull(r.input_tokens, 0), ifnull(r.output_tokens, 0), ifnull(r.cached_tokens, 0)
FROM requests r LEFT JOIN adjusted a ON a.request_id = r.id
WHERE r.id IN (SELECT value FROM json_each(?)) ORDER BY r.id
"""
_SEVERAL = """
SELECT r.id, r.started_ms, r.finished_ms, r.user, t.key, (SELECT hash FROM key_hashes WHERE id = t.key_id),
    t.model, t.generation_id, ifnull(t.cost_pusd, 0), ifnull(a.here_pusd, 0), ifnull(a.all_pusd, 0),
    CASE WHEN t.is_byok = 1 THEN ifnull(t.upstream_cost_pusd, 0) ELSE 0 END, t.cost_source, r.state,
    ifnull(t.input_tokens, 0), ifnull(t.output_tokens, 0), ifnull(t.cached_tokens, 0),
    (SELECT ifnull(sum(cost_pusd), 0) FROM attempt_rows WHERE request_id = r.id AND provider <> :provider),
    EXISTS (SELECT 1 FROM attempt_rows WHERE request_id = r.id AND provider <> :provider AND cost_pusd IS NULL),
    t.cost_pusd IS NULL, t.n
FROM attempt_rows t JOIN requests r ON r.id = t.request_id LEFT JOIN adjusted a ON a.request_id = r.id
WHERE t.request_id >= :from_id AND t.request_id < :to_id AND t.provider = :provider
    AND r.started_ms >= :from_ms AND r.started_ms < :to_ms
ORDER BY t.request_id, t.n
"""
_SESSIONS = (
    "SELECT id, session_id FROM requests WHERE id IN (SELECT value FROM json_each(?)) AND session_id IS NOT NULL"
)
_NAMED = """
SELECT b.generation_id FROM requests r JOIN billed b ON b.generation_id = r.generation_id
WHERE r.id >= :from_id AND r.id < :to_id AND r.started_ms >= :from_ms AND r.started_ms < :to_ms
UNION
SELECT b.generation_id FROM attempt_rows t JOIN billed b ON b.generation_id = t.generation_id
WHERE t.request_id >= :from_id AND t.request_id < :to_id
    AND (SELECT started_ms BETWEEN :from_ms AND :to_ms - 1 FROM requests WHERE id = t.request_id)
"""
_SEVERAL_NAMED = """
SELECT count(*) FROM attempt_rows t JOIN billed b ON b.generation_id = t.generation_id
WHERE t.request_id >= :from_id AND t.request_id < :to_id AND t.provider = :provider
    AND (SELECT started_ms BETWEEN :from_ms AND :to_ms - 1 FROM requests WHERE id = t.request_id)
"""
_STRANGERS = """
SELECT generation_id FROM billed
WHERE generation_id NOT IN (SELECT generation_id FROM requests
        WHERE id >= :from_id AND id < :to_id AND generation_id IS NOT NULL)
    AND generation_id NOT IN (SELECT generation_id FROM attempt_rows
        WHERE request_id >= :from_id AND request_id < :to_id AND generation_id IS NOT NULL)
"""
_MATCHED = """
SELECT generation_id, request_id FROM matched_calls
WHERE provider = :provider AND request_id >= :from_id AND request_id < :to_id
"""
# on the day, or for one of the calls: these stay on the day on which they were booked first
_APART = """
SELECT reference, charged_key, sum(amount_pusd), min(at_ms) FROM adjustments
WHERE request_id IS NULL AND charged_provider = :provider AND (at_ms >= :from_ms AND at_ms < :to_ms
    OR reference IN (SELECT generation_id FROM billed)) GROUP BY 1, 2
"""
_ELSEWHERE = f"""
SELECT b.generation_id FROM requests r JOIN billed b ON b.generation_id = r.generation_id
WHERE r.id >= :from_id AND r.id < :to_id AND r.target_provider <> :provider AND {_ALONE}
UNION
SELECT b.generation_id FROM attempt_rows t JOIN billed b ON b.generation_id = t.generation_id
WHERE t.request_id >= :from_id AND t.request_id < :to_id AND t.provider <> :provider
UNION
SELECT b.generation_id FROM matched_calls m JOIN billed b ON b.generation_id = m.generation_id
WHERE m.provider <> :provider
UNION
SELECT b.generation_id FROM adjustments a JOIN billed b ON b.generation_id = a.reference
WHERE a.charged_provider <> :provider
"""  # noqa: S608 - constants of this file
# a request of another entry that does not know its call, and of which nobody has found it yet
_UNNAMED_ELSEWHERE = f"""
SELECT k.hash FROM requests r
    JOIN key_hashes k ON k.id = r.key_id OR (r.key_id IS NULL AND k.provider = r.target_provider)
WHERE r.id >= :from_id AND r.id < :to_id AND r.target_provider <> :provider AND r.generation_id IS NULL
    AND r.state <> 'released' AND {_ALONE} AND NOT EXISTS (SELECT 1 FROM matched_calls WHERE request_id = r.id)
UNION
SELECT k.hash FROM attempt_rows t
    JOIN key_hashes k ON k.id = t.key_id OR (t.key_id IS NULL AND k.provider = t.provider)
WHERE t.request_id >= :from_id AND t.request_id < :to_id AND t.provider <> :provider AND t.generation_id IS NULL
    AND (t.cost_pusd > 0 OR t.cost_source <> 'none')
    AND NOT EXISTS (SELECT 1 FROM matched_calls WHERE request_id = t.request_id)
"""  # noqa: S608 - constants of this file
_SUMS = """
SELECT model, sum(cost_pusd) FROM usage_hourly WHERE hour_ms >= ?1 AND hour_ms < ?2 AND provider = ?3 GROUP BY 1
"""
# who may have been billed on the day, wherever it went: ended, or still awaited
_ASKED = """
SELECT model, sum(requests) FROM (
    SELECT model, requests FROM usage_hourly WHERE hour_ms >= :from_ms AND hour_ms < :to_ms AND requests > 0
    UNION ALL
    SELECT ifnull(model, target_model), 1 FROM requests
    WHERE id >= :from_id AND id < :to_id AND state IN ('open', 'pending')
) GROUP BY 1
"""
_SUMS_APART = f"""
SELECT model, reference, sum(amount_pusd) FROM adjustments
WHERE at_ms >= ?1 AND at_ms < ?2 AND charged_provider = ?3 AND reference LIKE '{SUM}%' GROUP BY 1, 2
"""  # noqa: S608 - constants of this file
_INEXACT = """
SELECT ifnull(model, target_model), sum(CASE cost_source WHEN 'reservation' THEN cost_pusd ELSE 0 END),
    sum(CASE WHEN cost_source IN ('estimate', 'price') THEN cost_pusd ELSE 0 END),
    sum(CASE WHEN key = :own_key THEN cost_pusd WHEN is_byok = 1 THEN ifnull(upstream_cost_pusd, 0) ELSE 0 END),
    sum(CASE WHEN state IN ('open', 'pending') THEN ifnull(reserved_pusd, 0) ELSE 0 END)
FROM requests
WHERE id >= :from_id AND id < :to_id AND started_ms >= :from_ms AND started_ms < :to_ms
    AND ifnull(provider, target_provider) = :provider
    AND (cost_source IN ('reservation', 'estimate', 'price') OR key = :own_key OR is_byok = 1 OR
        state IN ('open', 'pending'))
GROUP BY 1
"""


def read_ledger_day(connection: sqlite3.Connection, question: DayQuestion) -> LedgerDay:
    """Return what of a day does not agree with the bill at sight. The connection is for this look alone."""
    day_ms, provider = question.day_ms, question.provider
    day = _span(provider, day_ms, day_ms + _DAY_MS)
    around = _span(provider, day_ms - _MARGIN_MS, day_ms + _DAY_MS + _MARGIN_MS)
    _load(connection, question, around)
    found, agreed_pusd, listed = connection.execute(_OVERVIEW, day).fetchone()
    matched: defaultdict[int, list[str]] = defaultdict(list)
    for id_, request_id in connection.execute(_MATCHED, around):
        matched[request_id].append(id_)
    requests = [_alone(row, question, matched) for row in connection.execute(_ROWS, (listed,))]
    requests += _several(connection.execute(_SEVERAL, day).fetchall(), question, matched)
    requests = _with_sessions(connection, requests)
    before = _named(connection, _span(provider, day_ms - _MARGIN_MS, day_ms))
    after = _named(connection, _span(provider, day_ms + _DAY_MS, day_ms + _DAY_MS + _MARGIN_MS))
    own = {request.id for request in requests}
    of_others = {id_ for request_id, ids in matched.items() if request_id not in own for id_ in ids}
    found += connection.execute(_SEVERAL_NAMED, day).fetchone()[0]
    strangers = frozenset[str]()
    if found + len(before) + len(after) < len(question.calls):
        strangers = frozenset(row[0] for row in connection.execute(_STRANGERS, around))
        strangers -= of_others | {id_ for request in requests for id_ in request.generation_ids}
    apart = [
        BookedApart(reference, question.keys.get(key, ""), amount_pusd, (at_ms - day_ms) // _DAY_MS)
        for reference, key, amount_pusd, at_ms in connection.execute(_APART, day)
        if amount_pusd
    ]
    # a call of midnight whose row is gone would be taken for one that was lost, and be booked again
    has_rows = removed_before_ms(connection) <= day_ms - _MARGIN_MS
    elsewhere, doubtful = frozenset[str](), frozenset[str]()
    if found + len(before) + len(after) < len(question.calls):
        elsewhere = frozenset(row[0] for row in connection.execute(_ELSEWHERE, around))
        doubtful = frozenset(row[0] for row in connection.execute(_UNNAMED_ELSEWHERE, around))
    own_strangers = strangers - elsewhere
    return LedgerDay(requests, before | of_others, own_strangers, apart, agreed_pusd, has_rows, doubtful, elsewhere)


def read_ledger_sums(connection: sqlite3.Connection, provider: str, day_ms: int, own_key: str) -> list[BookedSum]:
    """Return what the roll-up has of a day, by model, and how much of it is not exact as far as there are rows."""
    span = _span(provider, day_ms, day_ms + _DAY_MS)
    found = {
        model: BookedSum(model, pusd) for model, pusd in connection.execute(_SUMS, (day_ms, day_ms + _DAY_MS, provider))
    }
    for model, *parts in connection.execute(_INEXACT, {**span, "own_key": own_key}):
        reservation, estimated, elsewhere, pending = (part or 0 for part in parts)
        booked_pusd = found.get(model, BookedSum(model, 0)).booked_pusd
        found[model] = BookedSum(model, booked_pusd, reservation, estimated, elsewhere, pending)
    for model, requests in connection.execute(_ASKED, _span(provider, day_ms - _MARGIN_MS, day_ms + _DAY_MS)):
        found[model] = found.get(model, BookedSum(model, 0))._replace(requests=requests)
    for model, reference, pusd in connection.execute(_SUMS_APART, (day_ms, day_ms + _DAY_MS, provider)):
        row = found.get(model, BookedSum(model, 0))
        found[model] = row._replace(apart={**row.apart, reference: pusd})
    return [*found.values()]


def _span(provider: str, from_ms: int, to_ms: int) -> dict[str, Any]:
    """Return the parameters of a time: rows have a time of their own, near that of their id."""
    return {
        "provider": provider,
        "from_ms": from_ms,
        "to_ms": to_ms,
        "from_id": id_floor(from_ms - _SKEW_MS),
        "to_id": id_floor(to_ms + _SKEW_MS),
    }


def _load(connection: sqlite3.Connection, question: DayQuestion, around: Mapping[str, Any]) -> None:
    """Put the calls of the bill, and what was adjusted, where statements can join them."""
    end_ms = question.day_ms + _DAY_MS
    connection.execute(_BILLED)
    for at in range(0, len(question.calls), _LOADED):
        part = question.calls[at : at + _LOADED]
        rows = [(call.generation_id, call.cost_pusd, call.hour_ms >= end_ms) for call in part]
        connection.execute(_LOAD, (orjson.dumps(rows).decode(),))
    connection.execute(_ADJUSTED, (around["from_id"], around["to_id"], question.provider))
    connection.execute("CREATE UNIQUE INDEX temp.adjusted_of ON adjusted (request_id)")


def _named(connection: sqlite3.Connection, span: Mapping[str, Any]) -> frozenset[str]:
    """Return the calls that requests of a time name."""
    return frozenset(row[0] for row in connection.execute(_NAMED, span))


def _with_sessions(connection: sqlite3.Connection, requests: list[BookedRequest]) -> list[BookedRequest]:
    """Return the requests, with their sessions where these help to find the calls that they are."""
    unnamed = orjson.dumps([request.id for request in requests if request.unnamed]).decode()
    sessions = dict(connection.execute(_SESSIONS, (unnamed,)).fetchall())
    return [request._replace(session=sessions.get(request.id, "")) for request in requests]


def _alone(row: tuple[Any, ...], question: DayQuestion, matched: Mapping[int, Sequence[str]]) -> BookedRequest:
    """Return a request with one attempt."""
    id_, started_ms, ended_ms, user, key, hash_, model, generation_id, cost, here, all_, *rest = row
    upstream, source, state, *tokens = rest
    generation_id = generation_id or next(iter(matched.get(id_, ())), None)
    return BookedRequest(
        id_,
        started_ms,
        ended_ms,
        user,
        hash_ or question.keys.get(key, ""),
        model or "",
        () if generation_id is None else (generation_id,),
        int(generation_id is None and state != "released"),
        cost + here,
        all_ - here,
        upstream,
        source,
        state,
        key == question.own_key,
        *tokens,
    )


def _several(
    rows: Iterable[tuple[Any, ...]], question: DayQuestion, matched: Mapping[int, Sequence[str]]
) -> list[BookedRequest]:
    """Return requests with several attempts, each as far as it went to this provider."""
    by_request: defaultdict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        by_request[row[0]].append(row)
    return [_joined([_alone(row[:17], question, {}) for row in own], own, matched) for own in by_request.values()]


def _joined(
    parts: list[BookedRequest], rows: list[tuple[Any, ...]], matched: Mapping[int, Sequence[str]]
) -> BookedRequest:
    """Return one request of its attempts: as sure as the least sure of them that has cost anything.

    While it is awaited nothing of it is booked, whatever single attempts are known to have cost; where what is awaited
    is another provider's figure, ours alone cannot end it, as though it were open.
    """
    last, here_pusd, all_pusd, others_pusd, others_awaited = parts[-1], *rows[0][9:11], *rows[0][17:19]
    is_awaited = last.state in ("open", "pending")
    cost_pusd = 0 if is_awaited else sum(row[8] for row in rows)
    sources = [row[12] for row in rows if row[8]] or [last.source]
    source = next((name for name in ("reservation", "estimate", "price") if name in sources), sources[-1])
    ids = [id_ for part in parts for id_ in part.generation_ids]
    charged = [part for part, row in zip(parts, rows, strict=True) if row[8] or row[12] != "none" or row[19]]
    nameless = [part for part in charged if part.unnamed]
    unnamed = len(nameless)
    called = matched.get(last.id, ())[:unnamed]
    ids, unnamed = [*ids, *called], unnamed - len(called)
    unnamed_as = [(part.key_hash, part.model) for part in nameless][len(called) :]
    attempt = max((row[20] for row in rows if row[12] == source), default=rows[-1][20])
    is_one = len({part.model for part in parts}) == 1  # several models have several prices
    return last._replace(
        generation_ids=tuple(dict.fromkeys(ids)),
        unnamed=unnamed,
        booked_pusd=cost_pusd + here_pusd,
        elsewhere_pusd=others_pusd + all_pusd - here_pusd,
        upstream_pusd=sum(part.upstream_pusd for part in parts),
        source=source,
        state="open" if is_awaited and others_awaited else last.state,
        is_own=all(part.is_own for part in parts),
        input_tokens=sum(part.input_tokens for part in parts) if is_one else 0,
        output_tokens=sum(part.output_tokens for part in parts) if is_one else 0,
        cached_tokens=sum(part.cached_tokens for part in parts),
        attempt=attempt,
        unnamed_as=tuple(unnamed_as),
    )
