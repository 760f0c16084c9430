"""Both sides of the comparison, read from the outside: the simulator's books and the file that the proxy left."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_HOUR_MS = 3_600_000


class Books:
    """``GET /_sim/books``, by generation and by session."""

    def __init__(self, shown: Mapping[str, Any]) -> None:
        self.generations: dict[str, dict[str, Any]] = shown["generations"]
        self.refused: list[dict[str, Any]] = shown["errors"]
        self.open: int = shown["open"]
        self.requests: int = shown["requests"]
        self.total_pusd: int = shown["total_pusd"]
        self.by_session: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        for id_, generation in self.generations.items():
            self.by_session[str(generation["session_id"])][id_] = generation
        self.refused_by_session = Counter(str(refused["session_id"]) for refused in self.refused)

    def charged(self) -> dict[str, int]:
        """Give what was charged for each session, pico-USD."""
        return {session: sum(g["charged_pusd"] for g in found.values()) for session, found in self.by_session.items()}

    @property
    def sessions(self) -> set[str]:
        """Every session that reached an endpoint which costs money."""
        return {*self.by_session, *self.refused_by_session}


class LedgerView:
    """The ledger as any program can read it: the view ``usage``, the attempts and the roll-up."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        self._connection.row_factory = sqlite3.Row
        self.rows = self._all("SELECT * FROM usage")
        self.requests = self._all("SELECT * FROM requests")
        self.attempts = self._all("SELECT * FROM attempts ORDER BY request_id, n")
        self.by_session: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in self.rows:
            self.by_session[str(row["session_id"])].append(row)
        self.attempts_of: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for attempt in self.attempts:
            self.attempts_of[f"req_{attempt['request_id']:016x}"].append(attempt)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def _all(self, sql: str) -> list[dict[str, Any]]:
        return [dict(row) for row in self._connection.execute(sql)]

    @property
    def total_pusd(self) -> int:
        return sum(row["cost_pusd"] or 0 for row in self.rows)

    def classes(self) -> Counter[str]:
        """Count rows by where their cost is from, with the reasons of those that are not exact."""
        counter: Counter[str] = Counter()
        for row in self.rows:
            exact = row["cost_source"] in ("provider", "generation", "price")
            why = f" ({row['flags']})" if row["flags"] and not exact else ""
            counter[f"{row['state']}, {row['cost_source']}{why}"] += 1
        return counter

    def damage(self) -> list[str]:
        found = [row[0] for row in self._connection.execute("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found

    def rollup(self) -> dict[tuple[Any, ...], tuple[int, ...]]:
        """Give usage_hourly: key columns -> requests, errors, tokens in, out, cached, reasoning, cost."""
        sql = (
            "SELECT hour_ms, user, group_name, model, provider, use_case, groups_above, other_models, requests, errors,"
            " input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost_pusd FROM usage_hourly"
        )
        return {tuple(row)[:8]: tuple(row)[8:] for row in self._connection.execute(sql)}

    def rollup_of_rows(self) -> dict[tuple[Any, ...], tuple[int, ...]]:
        """Sum the rows that have ended as usage_hourly should have them."""
        sums: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * 7)
        for row in self.requests:
            if row["state"] not in ("settled", "released"):
                continue
            key = (
                row["started_ms"] // _HOUR_MS * _HOUR_MS,
                row["user"],
                *(row[name] or "" for name in ("group_name", "model", "provider", "use_case")),
                *(row[name] or "" for name in ("groups_above", "other_models")),
            )
            amounts = (
                1,
                int(row["error"] is not None),
                *(row[f"{kind}_tokens"] or 0 for kind in ("input", "output", "cached", "reasoning")),
                row["cost_pusd"] or 0,
            )
            sums[key] = [total + amount for total, amount in zip(sums[key], amounts, strict=True)]
        return {key: tuple(total) for key, total in sums.items()}
