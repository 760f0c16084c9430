"""Hand out the rows of view `usage` for a file: all columns or some, by time, user and model; constant memory.

Rows come in slices by id, each read in one short transaction, so that a long export neither holds the WAL nor waits for
the writer. What changes between two slices is seen as it is when its slice is read. The columns and values are those of
the view, with two differences: money in USD and in the local currency is exact decimal text and no float.
"""

import csv
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, Literal

import orjson

from proxy.core.counts import Counts
from proxy.core.money import pusd_to_usd
from proxy.storage.sqlite.rates import RATE_OF_ROW
from proxy.storage.sqlite.reports import id_range

Kind = Literal["text", "integer", "usd", "local", "json"]
Row = tuple[Any, ...]

_COST = "r.cost_pusd + ifnull(a.amount_pusd, 0)"

# name -> (what it holds, how it is read); in the order of the view
_COLUMNS: dict[str, tuple[Kind, str]] = {
    "request_id": ("text", "'req_' || printf('%016x', r.id)"),
    "ts": (
        "text",
        "strftime('%Y-%m-%dT%H:%M:%S', r.started_ms / 1000, 'unixepoch') || printf('.%03dZ', r.started_ms % 1000)",
    ),
    "day": ("text", "r.day"),
    "user": ("text", "r.user"),
    "group_name": ("text", "r.group_name"),
    "token_id": ("text", "r.token_id"),
    "endpoint": ("text", "r.endpoint"),
    "use_case": ("text", "r.use_case"),
    "session_id": ("text", "r.session_id"),
    "tags": ("json", "r.tags"),
    "requested_model": ("text", "r.requested_model"),
    "model": ("text", "r.model"),
    "provider": ("text", "r.provider"),
    "status": ("integer", "r.status"),
    "state": ("text", "r.state"),
    "input_tokens": ("integer", "r.input_tokens"),
    "output_tokens": ("integer", "r.output_tokens"),
    "cached_tokens": ("integer", "r.cached_tokens"),
    "reasoning_tokens": ("integer", "r.reasoning_tokens"),
    "total_tokens": ("integer", "r.input_tokens + r.output_tokens"),
    "cost_pusd": ("integer", _COST),
    "cost_usd": ("usd", _COST),
    "cost_local": ("local", f"({_COST}) || ' ' || {RATE_OF_ROW}"),
    "cost_source": ("text", "r.cost_source"),
    "reserved_pusd": ("integer", "r.reserved_pusd"),
    "generation_id": ("text", "r.generation_id"),
    "attempts": ("integer", "r.attempts"),
    "streamed": ("integer", "r.streamed"),
    "ttft_ms": ("integer", "r.ttft_ms"),
    "duration_ms": ("integer", "r.duration_ms"),
    "error": ("text", "r.error"),
    "finish_reason": ("text", "r.finish_reason"),
    "flags": ("text", "r.flags"),
    **{name: ("integer", f"r.{name}") for name in Counts._fields},
}
COLUMNS = tuple(_COLUMNS)
_SLICE_IDS = 5000  # a few MB in memory and some ten milliseconds a transaction
_EXACT = Context(prec=80)  # 19 digits of pico-USD times a rate of at most some 50
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take for the start of a formula


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows and columns. since_ms counts itself, until_ms does not; models are globs of either model's name."""

    columns: tuple[str, ...] = COLUMNS
    since_ms: int | None = None
    until_ms: int | None = None
    users: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Slice:
    """Some rows in the order of their ids; done is how far through the range they reach, from 0 to 1."""

    rows: list[Row]
    done: float


def slices(connection: sqlite3.Connection, selection: Selection, ids_at_once: int = _SLICE_IDS) -> Iterator[Slice]:
    """Read what was there when the first slice was asked for. connection is in autocommit mode (open_reader)."""
    first, last = id_range(connection, selection.since_ms, selection.until_ms)
    query, values = _query(selection)
    after = start = first - 1
    while after < last:
        found = connection.execute(
            "SELECT id FROM requests WHERE id > ? AND id <= ? ORDER BY id LIMIT 1 OFFSET ?",
            (after, last, ids_at_once - 1),
        ).fetchone()
        upto = last if found is None else found[0]
        rows = connection.execute(query, {**values, "after": after, "upto": upto}).fetchall()
        after = upto
        yield Slice(rows, (after - start) / (last - start))


def _query(selection: Selection) -> tuple[str, dict[str, Any]]:
    conditions, values = ["r.id > :after", "r.id <= :upto"], {}
    for name, sign in (("since_ms", ">="), ("until_ms", "<")):
        value = getattr(selection, name)
        if value is not None:
            conditions.append(f"r.started_ms {sign} :{name}")
            values[name] = value
    if selection.users:
        conditions.append("r.user IN (SELECT value FROM json_each(:users))")
        values["users"] = orjson.dumps(selection.users).decode()
    if selection.models:
        conditions.append(
            "EXISTS (SELECT 1 FROM json_each(:models) WHERE r.model GLOB value OR r.requested_model GLOB value)"
        )
        values["models"] = orjson.dumps(selection.models).decode()
    columns = ", ".join(_COLUMNS[name][1] for name in selection.columns)
    query = (
        f"SELECT {columns} FROM requests r"  # noqa: S608 - constants of this file
        " LEFT JOIN (SELECT request_id, sum(amount_pusd) AS amount_pusd FROM adjustments"
        " WHERE request_id > :after AND request_id <= :upto GROUP BY request_id) a ON a.request_id = r.id"
        f" WHERE {' AND '.join(conditions)} ORDER BY r.id"
    )
    return query, values


Encode = Callable[[Sequence[Row]], bytes]
Convert = Callable[[Any], Any]


def csv_encoder(columns: Sequence[str]) -> tuple[bytes, Encode]:
    """Return the header line, and a function from rows to lines. A missing value is an empty cell.

    A text that a spreadsheet would run as a formula gets an apostrophe in front; numbers are left alone.
    """
    cells = [_csv_cell(_COLUMNS[name][0]) for name in columns]

    def encode(rows: Sequence[Row]) -> bytes:
        return csv_lines(
            [None if value is None else cell(value) for cell, value in zip(cells, row, strict=True)] for row in rows
        ).encode()

    return (",".join(columns) + "\n").encode(), encode


class _Lines(list[str]):
    """Takes what csv.writer writes, a line at a time, and ends it as Unix does."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")


def csv_lines(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV. Lines must end in CR LF, or the writer leaves a CR within a cell unquoted."""
    lines = _Lines()
    csv.writer(lines, lineterminator="\r\n").writerows(rows)
    return "".join(lines)


def _csv_cell(kind: Kind) -> Convert:
    match kind:
        case "usd":
            return pusd_to_usd
        case "local":
            return _local
        case "integer":
            return int
        case _:
            return safe_cell


def safe_cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def jsonl_encoder(columns: Sequence[str]) -> tuple[bytes, Encode]:
    """Return no header, and a function from rows to lines of JSON. tags is an object, money an exact number."""
    values = [_json_value(_COLUMNS[name][0]) for name in columns]

    def encode(rows: Sequence[Row]) -> bytes:
        return b"".join(
            orjson.dumps(
                {
                    name: None if value is None else convert(value)
                    for name, convert, value in zip(columns, values, row, strict=True)
                },
                option=orjson.OPT_APPEND_NEWLINE,
            )
            for row in rows
        )

    return b"", encode


def _json_value(kind: Kind) -> Convert:
    match kind:
        case "usd":
            return lambda pusd: orjson.Fragment(pusd_to_usd(pusd))
        case "local":
            return lambda value: orjson.Fragment(_local(value))
        case "integer":
            return int
        case "json":
            return orjson.loads
        case _:
            return str


def _local(value: str) -> str:
    """Return the amount of a cell of cost_local, which holds pico-USD and the rate of its time."""
    pusd, _, rate = value.partition(" ")
    return _times(int(pusd), Decimal(rate))


def _times(pusd: int, rate: Decimal) -> str:
    """Return pico-USD times a rate as exact decimal text without exponent."""
    text = format(_EXACT.multiply(_EXACT.scaleb(Decimal(pusd), -12), rate), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def pusd_to_local(pusd: int, usd_rate: str) -> str:
    """Return an amount in the local currency as exact decimal text; usd_rate is what 1 USD costs."""
    return _times(pusd, Decimal(usd_rate))
