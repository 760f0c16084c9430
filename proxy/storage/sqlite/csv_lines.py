"""Read the rows of an export as lines of CSV that SQLite itself writes: five times as fast as values through Python.

SQLite puts no quotes around a cell, so that each slice is looked over: were there a comma, a quote, a line break or
the beginning of a formula in one of its cells, the slice is read again as values, and the one encoder of CSV writes it.
Both ways make the same bytes. No text of the ledger holds a NUL, where printf would stop: see core/text.py.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from proxy.core.money import PUSD_PER_USD
from proxy.policy.exchange_rates import RateStep, local_amount, plain_text, rate_spans
from proxy.storage.export import KINDS, Chunk, Selection, csv_encoder
from proxy.storage.sqlite.export import COLUMNS_SQL, COST, LATE_JOIN, SLICE_IDS, next_slice_ids, read_values, selected
from proxy.storage.sqlite.labels import read_labels, read_rates
from proxy.storage.sqlite.usage import id_range
from proxy.storage.sqlite.usual_cells import MARK, UsualCells

_DAY_MS = 86_400_000
_FORMULA = b"=+-@\t"
_MARK = MARK.encode()


class _Span(NamedTuple):
    """The rows of a slice: ids above after up to upto, when the first and the last began, whether any was adjusted."""

    after: int
    upto: int
    first_ms: int
    last_ms: int
    has_late: bool


class IdSpan(NamedTuple):
    """The rows with ids above after, up to upto."""

    after: int
    upto: int


def csv_head(selection: Selection) -> Chunk:
    """Return the first line."""
    return Chunk(csv_encoder(selection.columns)[0], 0, 0.0)


def csv_chunks(connection: sqlite3.Connection, selection: Selection, ids_at_once: int = SLICE_IDS) -> Iterator[Chunk]:
    """Write what was there when the first chunk was asked for; the first is the header. connection: of open_reader."""
    yield csv_head(selection)
    first, last = id_range(connection, selection.since_ms, selection.until_ms)
    for _, chunk in CsvLines(connection, selection).of(IdSpan(first - 1, last), ids_at_once):
        yield chunk


class CsvLines:
    """Writes lines of the rows of a selection, one span of ids after another; what it learns of one serves the next."""

    def __init__(self, connection: sqlite3.Connection, selection: Selection) -> None:
        self._connection = connection
        self._selection = selection
        self._encode = csv_encoder(selection.columns)[1]
        self._usual = UsualCells([_TAGS if name == "tags" else COLUMNS_SQL[name] for name in selection.columns])
        connection.create_function("local_text", 2, _local_text, deterministic=True)

    def of(self, ids: IdSpan, ids_at_once: int = SLICE_IDS) -> Iterator[tuple[int, Chunk]]:
        """Write the selected rows of a span: yields up to which id, and the lines; done is of the span."""
        connection = self._connection
        is_local = "cost_local" in self._selection.columns
        rates = read_rates(connection, read_labels(connection).currency_code) if is_local else ()
        after, last = ids
        while after < last:
            count = next_slice_ids(ids_at_once)
            connection.execute("BEGIN")  # what the slice is, and its rows, of one moment
            try:
                span = _next_span(connection, after, last, count)
                if span is None:
                    break
                data, rows = self._slice(span, rates)
            finally:
                connection.execute("COMMIT")
            after = span.upto
            yield after, Chunk(data, rows, (after - ids.after) / (last - ids.after))

    def _slice(self, span: "_Span", rates: Sequence[RateStep]) -> tuple[bytes, int]:
        connection, selection = self._connection, self._selection
        condition, values = selected(selection, span.after, span.upto)
        source = f"FROM requests r {LATE_JOIN if span.has_late else ''} WHERE {condition}"
        lines = self._lines(_LineSql(span, rates, self._usual), source, values)
        data = b"\n".join(lines)
        expected = _Marks(len(lines) * (len(selection.columns) - 1), 0)
        if "tags" in selection.columns and b'"' in data:
            commas, quotes = connection.execute(f"SELECT {_TAG_MARKS} {source}", values).fetchone()
            expected = _Marks(expected.commas + (commas or 0), quotes or 0)
        is_whole = b"\n" not in b"".join(lines)  # quicker than to count them
        if lines and len(selection.columns) > 1 and is_whole and _is_plain(data, expected):
            return data + b"\n", len(lines)
        rows = read_values(connection, selection, span.after, span.upto)
        return self._encode(rows), len(rows)

    def _lines(self, line: "_LineSql", source: str, values: Mapping[str, Any]) -> list[bytes]:
        usual = self._usual
        if usual.is_new:
            usual.learn(self._connection, source, values)
        lines = self._read(line, source, values)
        if _MARK in b"".join(lines) and usual.learn(self._connection, source, values):
            lines = self._read(line, source, values)
        return lines

    def _read(self, line: "_LineSql", source: str, values: Mapping[str, Any]) -> list[bytes]:
        text = f"SELECT CAST({line.line(self._selection.columns)} AS BLOB) {source} ORDER BY r.id"
        return list(chain.from_iterable(self._connection.execute(text, values).fetchall()))


def _next_span(connection: sqlite3.Connection, after: int, last: int, count: int) -> _Span | None:
    upto, first_ms, last_ms = connection.execute(
        "SELECT max(id), min(started_ms), max(started_ms) FROM"
        " (SELECT id, started_ms FROM requests WHERE id > ? AND id <= ? ORDER BY id LIMIT ?)",
        (after, last, count),
    ).fetchone()
    if upto is None:
        return None
    late = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM adjustments WHERE request_id > ? AND request_id <= ?)", (after, upto)
    ).fetchone()
    return _Span(after, upto, first_ms, last_ms, bool(late[0]))


class _Marks(NamedTuple):
    commas: int
    quotes: int


# tags are JSON, which has them always; they are quoted here, and their commas and quotes are known
_TAG_MARKS = """sum(length(r.tags) - length(replace(r.tags, ',', ''))),
    sum(CASE WHEN instr(r.tags, '"') THEN 2 * (length(r.tags) - length(replace(r.tags, '"', ''))) + 2 END)"""


def _is_plain(data: bytes, expected: _Marks) -> bool:
    """Return whether no cell needs quotes or an apostrophe: there are no more marks than those between the cells."""
    return (
        data.count(b",") == expected.commas
        and (data.count(b'"') if expected.quotes else b'"' in data) == expected.quotes
        and b"\r" not in data
        and not any(_begins_cell(data, bytes([sign])) for sign in _FORMULA if sign in data)
    )


def _begins_cell(data: bytes, sign: bytes) -> bool:
    return b"," + sign in data or b"\n" + sign in data or data.startswith(sign)


class _LineSql:
    """The SQL that makes a line of a row: one printf, whose %s is empty for NULL. rates: those of the slice's time."""

    def __init__(self, span: _Span, steps: Sequence[RateStep], usual: UsualCells) -> None:
        self.span = span
        self.usual = usual
        self._cost = COST if span.has_late else "r.cost_pusd"
        self._rates = list(rate_spans(steps, span.first_ms, span.last_ms + 1))
        self._is_in_usd = [rate for _, _, rate in self._rates] == ["1"]

    def line(self, columns: Sequence[str]) -> str:
        formats, terms = list[str](), list[str]()
        for name in self._merged(columns):
            form, *values = self._cell(name)
            formats.append(form)
            terms += map(self.usual.write, values)
        return f"printf('{','.join(formats)}%s', {', '.join([*terms, self.usual.mark()])})"

    def _merged(self, columns: Sequence[str]) -> list[str]:
        """Return the columns, those of money as one where both are in USD: such a text costs as much as ten cells."""
        names = list(columns)
        at = names.index("cost_usd") if self._is_in_usd and "cost_usd" in names else len(names)
        if names[at + 1 : at + 2] == ["cost_local"]:
            names[at : at + 2] = ["cost_usd,cost_local"]
        return names

    def _cell(self, name: str) -> tuple[str, ...]:
        match name:
            case "request_id":
                return "req_%016x", "r.id"
            case "ts":
                return self._ts()
            case "cost_pusd":
                return "%s", self._cost
            case "cost_usd":
                return "%s", _usd_text(self._cost)
            case "cost_local":
                return "%s", _usd_text(self._cost) if self._is_in_usd else self._local()
            case "cost_usd,cost_local":
                return "%s", f"replace('x,x', 'x', ifnull({_usd_text(self._cost)}, ''))"
            case "tags":
                return "%s", _TAGS
            case _ if KINDS[name] == "usd":
                return "%s", _usd_text(COLUMNS_SQL[name])
            case _ if (text := self.usual.text(COLUMNS_SQL[name])) is not None:
                return (text.replace("%", "%%").replace("'", "''"),)
            case _:
                return "%s", COLUMNS_SQL[name]

    def _ts(self) -> tuple[str, ...]:
        """Return the time of a row; nearly every slice is of one day, which is worked out once."""
        is_one_day = self.span.first_ms // _DAY_MS == self.span.last_ms // _DAY_MS
        day = f"date({self.span.first_ms if is_one_day else 'r.started_ms'} / 1000, 'unixepoch')"
        parts = ("/ 3600000 % 24", "/ 60000 % 60", "/ 1000 % 60", "% 1000")
        return "%sT%02d:%02d:%02d.%03dZ", day, *(f"r.started_ms {part}" for part in parts)

    def _local(self) -> str:
        """Return the cost by the rate of the slice's time, or of each row where it changes within the slice."""
        cases = [f"WHEN r.started_ms < {end_ms} THEN '{rate}'" for _, end_ms, rate in self._rates if rate is not None]
        return f"local_text({self._cost}, CASE {' '.join(cases)} END)" if cases else "NULL"


def _usd_text(pusd: str) -> str:
    """Return the exact text of an amount, in SQL; whole dollars, and less than none, are rare."""
    digits = f"rtrim(printf('%d.%012d', {pusd} / {PUSD_PER_USD}, {pusd} % {PUSD_PER_USD}), '0')"
    return f"CASE WHEN {pusd} % {PUSD_PER_USD} > 0 THEN {digits} ELSE local_text({pusd}, '1') END"


def _local_text(pusd: int | None, rate: str | None) -> str | None:
    return None if pusd is None or rate is None else plain_text(local_amount(pusd, rate))


_TAGS = """CASE WHEN r.tags IS NULL THEN NULL WHEN instr(r.tags, '"')
    THEN '"' || replace(r.tags, '"', '""') || '"' ELSE r.tags END"""
