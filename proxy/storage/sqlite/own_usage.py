"""One user's own usage, read beside the writer on a connection that cannot write.

Reads the roll-up, and the rows of the one hour that a window begins in the middle of.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiosqlite

from proxy.core.counts import Counts
from proxy.core.money import pusd_to_usd
from proxy.storage.rows import HOUR_MS, id_floor

_CLASSES = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", *Counts._fields)
_SUMMED = ("requests", *_CLASSES, "cost_pusd")
_SQL = f"""
SELECT model, {", ".join(f"sum({name})" for name in _SUMMED)} FROM (
    SELECT model, {", ".join(_SUMMED)} FROM usage_hourly WHERE user = ?1 AND hour_ms >= ?3
    UNION ALL
    SELECT ifnull(model, ''), 1, {", ".join(f"ifnull({name}, 0)" for name in _SUMMED[1:])}
    FROM requests WHERE id >= ?4 AND id < ?5 AND user = ?1 AND started_ms >= ?2 AND started_ms < ?3
        AND state IN ('settled', 'released')
) GROUP BY model ORDER BY sum(cost_pusd) DESC, 1
"""  # noqa: S608 - constants of this file


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What a user's requests to one model came to; tokens by the names of their classes."""

    model: str
    requests: int
    tokens: Mapping[str, int]
    cost_pusd: int

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> "ModelUsage":
        model, requests, *tokens, cost_pusd = row
        return cls(model, requests, dict(zip(_CLASSES, tokens, strict=True)), cost_pusd)

    def as_json(self) -> dict[str, object]:
        return {
            "model": self.model,
            "requests": self.requests,
            **self.tokens,
            "cost": pusd_to_usd(self.cost_pusd),
            "cost_pusd": self.cost_pusd,
        }


async def spent_since(database: Path, user: str, starts_ms: Sequence[int]) -> list[int]:
    """Return what a user has spent since each of these instants, in pico-USD; each is the start of a UTC hour.

    Counts what is settled; what is still open or looked up is in none of them.
    """
    sums = ", ".join(f"ifnull(sum(cost_pusd) FILTER (WHERE hour_ms >= ?{n}), 0)" for n in range(2, len(starts_ms) + 2))
    query = f"SELECT {sums} FROM usage_hourly WHERE user = ?1"  # noqa: S608 - numbers of parameters only
    async with reading(database) as connection, connection.execute(query, (user, *starts_ms)) as rows:
        found = await rows.fetchone()
        assert found is not None, "a sum has one row"
        return list(found)


async def spent_with(database: Path, user: str, key: str, starts_ms: Sequence[int]) -> list[int]:
    """Return what attempts with a key of this name have cost a user since each of these instants, in pico-USD.

    Read from single rows, so without what retention has removed.
    """
    sums = ", ".join(
        f"ifnull(sum(attempts.cost_pusd) FILTER (WHERE requests.started_ms >= ?{n}), 0)"
        for n in range(3, len(starts_ms) + 3)
    )
    query = (
        f"SELECT {sums} FROM requests JOIN attempts ON attempts.request_id = requests.id"  # noqa: S608 - as above
        " WHERE requests.user = ?1 AND attempts.key = ?2 AND requests.state IN ('settled', 'released')"
    )
    async with reading(database) as connection, connection.execute(query, (user, key, *starts_ms)) as rows:
        found = await rows.fetchone()
        assert found is not None, "a sum has one row"
        return list(found)


@asynccontextmanager
async def reading(database: Path) -> AsyncIterator[aiosqlite.Connection]:
    """Open the ledger for one reader, on a connection that cannot write."""
    async with aiosqlite.connect(f"file:{database}?mode=ro", uri=True) as connection:
        await connection.execute("PRAGMA query_only = ON")
        yield connection


async def usage_by_model(database: Path, user: str, start_ms: int) -> list[ModelUsage]:
    """Return what a user's requests since start_ms cost, most expensive model first."""
    whole_ms = -(-start_ms // HOUR_MS) * HOUR_MS  # the first full hour of the roll-up
    parameters = (user, start_ms, whole_ms, id_floor(start_ms), id_floor(whole_ms))
    async with reading(database) as connection, connection.execute(_SQL, parameters) as rows:
        return [ModelUsage.of_row(tuple(row)) for row in await rows.fetchall()]
