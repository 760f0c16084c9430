"""Ledgers of made-up rows, written straight into the tables: any number, any moment, any state."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proxy.storage.labels import Labels
from proxy.storage.performance import AnswerSums, sum_answers
from proxy.storage.rows import HOUR_MS, id_floor
from proxy.storage.sqlite.connect import connect_owner
from proxy.storage.sqlite.labels import set_labels

START_MS = 1_790_000_000_000  # in September 2026
USERS = ("anna", "bob", "=cmd()", "carl")
MODELS = ("openai/gpt-5-mini", "anthropic/claude-haiku-4.5", "meta/llama", None)


@contextmanager
def ledger(path: Path, *, zone: str = "UTC", currency: str = "USD", rate: str = "1") -> Iterator[sqlite3.Connection]:
    """Make or open a ledger as its owner; autocommit."""
    connection = connect_owner(path, 5.0)
    set_labels(connection, Labels(zone, currency, rate), 0)
    try:
        yield connection
    finally:
        connection.close()


def made(number: int, started_ms: int, chance: random.Random) -> dict[str, Any]:
    """Make one request; its id is unique for its number."""
    state = chance.choices(("settled", "released", "pending", "open"), (90, 4, 3, 3))[0]
    ended = state in ("settled", "released")
    known = state == "settled" and chance.random() < 0.97
    model = chance.choice(MODELS)
    return {
        "id": id_floor(started_ms) + number % (1 << 21),
        "started_ms": started_ms,
        "day": "2026-09-21",
        "user": chance.choice(USERS),
        "group_name": chance.choice((None, "family")),
        "token_id": "tok_1",
        "endpoint": "chat/completions",
        "requested_model": "fast" if model is None else model,
        "model": model if ended else None,
        "provider": "openrouter" if ended else None,
        "use_case": chance.choice((None, "sms")),
        "tags": chance.choice((None, '{"k":"v, \\"quoted\\""}')),
        "state": state,
        "status": 200 if ended else None,
        "input_tokens": chance.randrange(10**6) if known else None,
        "output_tokens": chance.randrange(10**5) if known else None,
        "cached_tokens": 0 if known else None,
        "reasoning_tokens": 0 if known else None,
        "cost_pusd": chance.randrange(10**13) if ended else None,
        "cost_source": "provider" if ended else "none",
        "streamed": chance.randrange(2),
        "error": "upstream_error" if chance.random() < 0.05 else None,
        "flags": "cost_unknown" if ended and not known else None,
        "attempts": 1,
    }


def insert(connection: sqlite3.Connection, rows: list[dict[str, Any]]) -> None:
    """Write requests, and the roll-up of those that have ended, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    names = list(rows[0])
    connection.executemany(
        f"INSERT INTO requests ({', '.join(names)}) VALUES ({', '.join(':' + name for name in names)})",  # noqa: S608 - names of columns
        rows,
    )
    # counts, how they were answered, is what the default says: nothing
    columns = [row[1] for row in connection.execute("PRAGMA table_info(usage_hourly)") if row[1] != "counts"]
    for row in rows:
        if row["state"] in ("settled", "released"):
            _roll_up(connection, columns, row)
    connection.execute("COMMIT")


def _roll_up(connection: sqlite3.Connection, columns: list[str], row: dict[str, Any]) -> None:
    texts = ("user", "group_name", "model", "provider", "use_case", "groups_above", "other_models")
    given: dict[str, Any] = {name: row.get(name) or "" for name in texts}
    given["hour_ms"] = row["started_ms"] // HOUR_MS * HOUR_MS
    names = ("status", "error", "streamed", "ttft_ms", "duration_ms", "output_tokens")
    facts: Any = (*(row.get(name) for name in names), 0)
    *answers, given["counts"] = sum_answers([facts])
    figures = [name for name in columns if name not in given]
    for name in figures:
        given[name] = row.get(name) or 0
    given.update(zip(AnswerSums._fields, answers, strict=True))
    given["requests"], given["errors"] = 1, int(row["error"] is not None)
    given["flagged"] = int(row["flags"] not in (None, "downgraded"))
    connection.execute(
        f"INSERT INTO usage_hourly ({', '.join(columns)}) VALUES ({', '.join(':' + name for name in columns)})"  # noqa: S608 - names of columns
        f" ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in figures)},"
        " counts = CAST(counts || excluded.counts AS BLOB)",
        given,
    )


def fill(connection: sqlite3.Connection, count: int, *, step_ms: int = 20_000, seed: int = 1) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    rows = [made(n, START_MS + n * step_ms + chance.randrange(step_ms), chance) for n in range(count)]
    insert(connection, rows)
    return rows
