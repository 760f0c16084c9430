"""Recompute from single rows how requests were answered, and compare it with the roll-up."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from proxy.storage.performance import AnswerFacts, AnswerSums, read_counts, sum_answers, write_counts
from proxy.storage.rows import HOUR_MS
from proxy.storage.sqlite.verify_faults import ENDED

_MARK = "performance_from_ms"  # of meta: hours before it ended, in part, under a version that counted none of it
_KEY = (
    f"started_ms - started_ms % {HOUR_MS}, user, ifnull(group_name, ''), ifnull(model, ''), ifnull(provider, ''),"
    " ifnull(use_case, ''), ifnull(groups_above, ''), ifnull(other_models, '')"
)
_FELL_BACK = (
    "attempts > 1 AND EXISTS (SELECT 1 FROM attempt_rows a WHERE a.request_id = requests.id AND a.n = requests.attempts"
    " AND (a.provider IS NOT requests.target_provider OR a.model IS NOT requests.target_model))"
)
_ROWS = f"""
SELECT {_KEY}, count(*), sum_answers(status, error, streamed, ttft_ms, duration_ms, output_tokens, {_FELL_BACK})
FROM requests WHERE {ENDED} AND started_ms >= ? GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
"""  # noqa: S608 - constants of this file
_KEPT = f"""
SELECT hour_ms, user, group_name, model, provider, use_case, groups_above, other_models, requests, counts,
    {", ".join(AnswerSums._fields)}
FROM usage_hourly WHERE hour_ms >= ?
"""  # noqa: S608 - constants of this file

AnswerKey = tuple[Any, ...]
"""The hour of a row of the roll-up, and what else it is a row of, in the order of SpendingSource."""


def compare_answers(connection: sqlite3.Connection) -> Iterator[tuple[AnswerKey, str]]:
    """Yield the rows of the roll-up that tell something else of their requests than these do, and what.

    Rows that count other requests than those that are there are left to the check of sums.
    """
    connection.create_aggregate("sum_answers", 7, _SummedAnswers)  # type: ignore[arg-type] # typeshed knows one argument
    found = connection.execute("SELECT value FROM meta WHERE name = ?", (_MARK,)).fetchone()
    since_ms = 0 if found is None else int(found[0])
    rows = {row[:8]: row[8:] for row in connection.execute(_ROWS, (since_ms,))}
    for row in connection.execute(_KEPT, (since_ms,)):
        key, requests, counts, sums = row[:8], row[8], row[9], row[10:]
        there = rows.get(key)
        if there is None or there[0] != requests:
            continue
        expected = orjson.loads(there[1])
        text = _difference(sums, expected[:-1], readable_counts([counts]), bytes.fromhex(expected[-1]))
        if text:
            yield key, text


def _difference(sums: tuple[int, ...], expected: list[int], counts: bytes | None, places: bytes) -> str:
    told = [
        f"{name} is {has}, rows say {wants}"
        for name, has, wants in zip(AnswerSums._fields, sums, expected, strict=True)
        if has != wants
    ]
    if counts != places:
        told.append("its histograms are not those of its rows")
    return ", ".join(told)


def readable_counts(many: Iterable[bytes]) -> bytes | None:
    """Return counts added up, in the one form that all with the same sums have; None for what cannot be read."""
    total = Counter[int]()
    try:
        for counts in many:
            total.update(read_counts(counts))
    except IndexError:
        return None
    return write_counts(+total)


class _SummedAnswers:
    """An aggregate of SQL over AnswerFacts: JSON with the sums and, in hex, the counts."""

    def __init__(self) -> None:
        self._facts: list[AnswerFacts] = []
        self._sums = [0] * len(AnswerSums._fields)
        self._counts: Counter[int] = Counter()

    def step(self, *facts: Any) -> None:
        self._facts.append(facts)
        if len(self._facts) >= 1000:
            self._add()

    def _add(self) -> None:
        *sums, counts = sum_answers(self._facts)
        self._facts = []
        self._sums = [total + more for total, more in zip(self._sums, sums, strict=True)]
        self._counts.update(read_counts(counts))

    def finalize(self) -> str:
        self._add()
        return orjson.dumps([*self._sums, write_counts(self._counts).hex()]).decode()
