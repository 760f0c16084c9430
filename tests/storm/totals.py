"""What the proxy says of its limits against sums over the rows in the file: after each start, and at the end."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from .limits import ZONE, Kind, Limit, start_ms
from .processes import http_json

_AGREE_S = 5.0  # rows that the last run left are settled meanwhile, and windows end: the two are read again then
_SUM = {
    "cost": ("cost_pusd", "reserved_pusd"),
    "requests": ("1", "1"),
    "tokens": (
        (
            "ifnull(input_tokens, 0) + ifnull(output_tokens, 0) + CASE WHEN uncounted_tokens NOT NULL"
            " THEN uncounted_tokens WHEN state = 'settled' AND input_tokens IS NULL AND output_tokens IS NULL"
            " THEN ifnull(reserved_tokens, 0) ELSE 0 END"
        ),
        "reserved_tokens",
    ),
}


class Totals(NamedTuple):
    """Of one limit in its present window."""

    used: int
    reserved: int


def rows_say(connection: sqlite3.Connection, limit: Limit, now_ms: int) -> Totals:
    """Sum the rows of the window that now lies in."""
    kind, _, name = limit.scope.partition(":")
    column = {"user": "user", "group": "group_name"}.get(kind, "?2")
    used, held = _SUM[limit.kind]
    # the names put in are those above, none comes from outside
    sql = (
        f"SELECT ifnull(sum(CASE WHEN state IN ('settled', 'released') THEN {used} END), 0),"  # noqa: S608
        f" ifnull(sum(CASE WHEN state IN ('open', 'pending') THEN {held} END), 0)"
        f" FROM requests WHERE started_ms >= ?1 AND {column} = ?2"
    )
    found = Totals(*connection.execute(sql, (start_ms(limit.window, now_ms), name)).fetchone())
    if limit.kind != "cost":
        return found
    late = f"SELECT ifnull(sum(amount_pusd), 0) FROM adjustments WHERE at_ms >= ?1 AND {column} = ?2"  # noqa: S608
    (late_pusd,) = connection.execute(late, (start_ms(limit.window, now_ms), name)).fetchone()
    return found._replace(used=found.used + late_pusd)


async def disagreements(
    port: int, tokens: dict[str, str], limits: Sequence[Limit], ledger: Path, ahead_s: int = 0
) -> list[str]:
    """Ask until limits and rows say the same of every limit; give what they still say differently in the end.

    ahead_s: by how much the proxy's clock is ahead of this one.
    """
    deadline_s = time.monotonic() + _AGREE_S
    while True:
        found = await asyncio.to_thread(_look, port, tokens, limits, ledger, ahead_s)
        if not found or time.monotonic() > deadline_s:
            return found
        await asyncio.sleep(0.05)


def still_reserved(port: int, tokens: dict[str, str], limits: Sequence[Limit]) -> list[str]:
    """Say which limits still have something set aside."""
    told = told_limits(port, tokens, limits)
    return [f"{limit}: {totals.reserved} still set aside" for limit, totals in told.items() if totals.reserved]


def _look(port: int, tokens: dict[str, str], limits: Sequence[Limit], ledger: Path, ahead_s: int) -> list[str]:
    now_ms = time.time_ns() // 1_000_000 + ahead_s * 1000
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        told = told_limits(port, tokens, limits)
        summed = {limit: rows_say(connection, limit, now_ms) for limit in limits}
    return [
        f"{limit} ({ZONE}): GET /v1/me/limits says {told.get(limit)}, the rows {summed[limit]}"
        for limit in limits
        if told.get(limit) != summed[limit]
    ]


def told_limits(port: int, tokens: dict[str, str], limits: Sequence[Limit]) -> dict[Limit, Totals]:
    """Give GET /v1/me/limits of all users together."""
    found: dict[Limit, Totals] = {}
    for token in tokens.values():
        answer = http_json(f"http://127.0.0.1:{port}/v1/me/limits", headers={"Authorization": f"Bearer {token}"})
        for row in answer["limits"]:
            kind: Kind = row["kind"]
            unit = "_pusd" if kind == "cost" else ""
            limit = Limit(row["scope"], kind, row["window"], row[f"limit{unit}"])
            if limit in limits:
                found[limit] = Totals(row[f"used{unit}"], row[f"reserved{unit}"])
    return found
