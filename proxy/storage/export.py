"""The rows of view `usage` as lines of a file: which there are, and how CSV and JSON write them.

The values are those of the view, with two differences: money in USD and in the local currency is exact decimal text
and no float.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import orjson
from msgspec import Struct

from proxy.core.counts import Counts
from proxy.core.money import pusd_to_usd
from proxy.policy.exchange_rates import local_amount, plain_text

Kind = Literal["text", "integer", "usd", "local", "json"]
Row = tuple[Any, ...]

# name -> what it holds; in the order of the view. usd holds pico-USD, local pico-USD and the rate of its time.
KINDS: dict[str, Kind] = {
    "request_id": "text",
    "ts": "text",
    "day": "text",
    "user": "text",
    "group_name": "text",
    "token_id": "text",
    "endpoint": "text",
    "use_case": "text",
    "session_id": "text",
    "tags": "json",
    "requested_model": "text",
    "model": "text",
    "provider": "text",
    "status": "integer",
    "state": "text",
    "input_tokens": "integer",
    "output_tokens": "integer",
    "cached_tokens": "integer",
    "reasoning_tokens": "integer",
    "total_tokens": "integer",
    "cost_pusd": "integer",
    "cost_usd": "usd",
    "cost_local": "local",
    "cost_source": "text",
    "reserved_pusd": "integer",
    "generation_id": "text",
    "attempts": "integer",
    "streamed": "integer",
    "ttft_ms": "integer",
    "duration_ms": "integer",
    "error": "text",
    "finish_reason": "text",
    "flags": "text",
    **dict.fromkeys(Counts._fields, "integer"),
    "uncached_input_tokens": "integer",
    "visible_output_tokens": "integer",
    "is_byok": "integer",
    "upstream_cost_pusd": "integer",
    "endpoint_id": "text",
    "permaslug": "text",
    "key_hash": "text",
}
COLUMNS = tuple(KINDS)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take for the start of a formula


class Selection(Struct, frozen=True):
    """Which rows and columns. since_ms counts itself, until_ms does not; models are globs of either model's name."""

    columns: tuple[str, ...] = COLUMNS
    since_ms: int | None = None
    until_ms: int | None = None
    users: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


class Slice(Struct, frozen=True):
    """Some rows in the order of their ids; done is how far through the range they reach, from 0 to 1."""

    rows: list[Row]
    done: float


class Chunk(Struct, frozen=True):
    """A piece of a file: its bytes, how many rows it holds, and how far through the range it reaches, from 0 to 1."""

    data: bytes
    rows: int
    done: float


Encode = Callable[[Sequence[Row]], bytes]
Convert = Callable[[Any], Any]


def csv_encoder(columns: Sequence[str]) -> tuple[bytes, Encode]:
    """Return the header line, and a function from rows to lines. A missing value is an empty cell.

    A text that a spreadsheet would run as a formula gets an apostrophe in front; numbers are left alone.
    """
    cells = [_csv_cell(KINDS[name]) for name in columns]

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
    import csv  # noqa: PLC0415 - no request needs it

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
    values = [_json_value(KINDS[name]) for name in columns]

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


def jsonl_chunks(pieces: Iterable[Slice], columns: Sequence[str]) -> Iterator[Chunk]:
    """Yield slices as lines of JSON."""
    _, encode = jsonl_encoder(columns)
    for piece in pieces:
        yield Chunk(encode(piece.rows), len(piece.rows), piece.done)


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
    return plain_text(local_amount(int(pusd), rate))
