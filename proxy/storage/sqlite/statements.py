"""The SQL of the hot path: one statement a table and a group of requests.

The rows of a group travel as parameters of one statement, so that the writer takes the interpreter's lock once a
statement and not once a row; as a JSON array they would cost twice as much. Groups are cut into some sizes, so that
statements are prepared once.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from operator import itemgetter
from typing import Any

from proxy.core.counts import Counts
from proxy.core.limit_kinds import COST, COUNTED, REQUESTS
from proxy.storage.limit_sums import COUNTS_BY_HOUR, COUNTS_BY_ROW, RESERVED_PIECES, SETTLED_BY_ROW, UNCOUNTED_PIECES
from proxy.storage.performance import SHORT_BYTES, AnswerSums
from proxy.storage.rows import END_COLUMNS, BilledEndpoint, RequestEnd

# Rows of one statement: SQLite takes 32,766 parameters, and beyond 32 rows a row gets little cheaper. Each size is
# prepared and kept once a table: most groups take one statement a table, for each has a price of its own. A prepared
# statement takes about a kilobyte a row (an end of a request 1.2), so of the larger ones there are few.
_ONE_MAX = 16
_SIZES = (*range(1, _ONE_MAX + 1), 20, 24, 28, 32)
STATEMENTS = 21 * len(_SIZES)  # what a connection should keep prepared
# Updates of so few rows are written one by one: those of several at once go through a table of their own, which SQLite
# makes and drops for each statement. That takes as long as the update of some rows.
_ALONE_MAX = 2
_KEPT_MAX = 1024  # values of columns: tags come from callers

Row = tuple[object, ...]
Alone = Callable[[Sequence[str]], str]
"""Writes an update of one row, given the cells of its columns: each a literal, or "?" for what is bound."""
Run = tuple[str, Sequence[object]]
"""A statement and its parameters."""


class _Variant:
    """One way to write the rows of a statement: values for some columns, constants in its text for the others.

    bound: reads of a row what is bound.
    """

    def __init__(self, before: str, cells: Sequence[str], after: str, first: int, alone: Alone | None) -> None:
        """Write the statement's parts. first: the place of the first column in a row."""
        self._before = before
        self._row = f"({', '.join(cells)})"
        self._after = after
        self._texts: dict[int, str] = {}  # by the number of rows
        self.bound = _columns_of([place for place, cell in enumerate(cells, first) if cell == "?"])
        self.alone = self._text(1) if alone is None else alone(cells)

    def run(self, rows: Sequence[Row]) -> tuple[str, list[object]]:
        """Return the statement for all the rows, and its parameters."""
        bound = self.bound
        values: list[object] = []
        for row in rows:
            values += bound(row)
        return self._texts.get(len(rows)) or self._text(len(rows)), values

    def _text(self, rows: int) -> str:
        text = self._texts[rows] = f"{self._before} VALUES {', '.join([self._row] * rows)}{self._after}"
        return text


def _columns_of(places: Sequence[int]) -> Callable[[Row], Row]:
    """Return a function that reads the columns of a row at these places, as a plain tuple also where it is one."""
    first = places[0]
    if list(places) == list(range(first, first + len(places))):
        return itemgetter(slice(first, first + len(places)))  # a tenth of the time
    return itemgetter(*places)


UsualValues = Sequence[Mapping[str, object]]
"""Sets of columns with the values that nearly all rows have there. A set counts where a row has all its values."""


class BatchStatement:
    """A statement over several rows: before, the rows as VALUES, after. names: its columns, in a row from first on.

    Where all rows of a statement have the values of one of the usual sets, these stand in its text: to bind a None
    takes four times as long as to bind a number, and a text three times as long. alone: writes the statement for one
    row, where that is a simpler one.
    """

    def __init__(
        self,
        before: str,
        names: Sequence[str],
        after: str,
        usual: UsualValues = (),
        first: int = 0,
        alone: Alone | None = None,
    ) -> None:
        self._before = before
        self.names = names
        self._first = first
        self._alone = alone
        self._after = after
        self._usual = usual
        places = [first + names.index(name) for one in usual for name in one]
        self._deciding = _columns_of(places) if places else None  # of a row: the columns of all usual sets
        self._masks: dict[object, int] = {}  # by these: which sets are usual to it, a bit each
        self._variants: dict[int, _Variant] = {}  # by the sets that stand in the text

    def one(self, row: Row) -> Run:
        """Return the statement for one row, and its parameters."""
        variant = self._variant((row,))
        return variant.alone, variant.bound(row)

    def runs(self, rows: Sequence[Row]) -> list[Run]:
        """Return statements and their parameters for all rows, in order."""
        left = len(rows)
        if left <= _ALONE_MAX and self._alone is not None:
            return [self.one(row) for row in rows]
        if 0 < left <= _ONE_MAX:  # nearly always
            return [self._variant(rows).run(rows)]
        runs: list[Run] = []
        done = 0
        while done < left:
            size = _SIZES[bisect_right(_SIZES, left - done) - 1]
            part = rows[done : done + size]
            runs.append(self._variant(part).run(part))
            done += size
        return runs

    def _variant(self, rows: Sequence[Row]) -> _Variant:
        mask = 0
        deciding = self._deciding
        if deciding is not None:
            mask = -1
            for row in rows:
                values = deciding(row)
                usual = self._masks.get(values)
                mask &= self._mask(values) if usual is None else usual
        return self._variants.get(mask) or self._make_variant(mask)

    def _mask(self, values: Any) -> int:
        """Return the bits of the sets that are usual to a row with these values."""
        mask, done = 0, 0
        for bit, one in enumerate(self._usual):
            if values[done : done + len(one)] == tuple(one.values()):
                mask |= 1 << bit
            done += len(one)
        if len(self._masks) >= _KEPT_MAX:
            self._masks.clear()
        self._masks[values] = mask
        return mask

    def _make_variant(self, mask: int) -> _Variant:
        fixed = {name: value for bit, one in enumerate(self._usual) if mask >> bit & 1 for name, value in one.items()}
        cells = [_literal(fixed[name]) if name in fixed else "?" for name in self.names]
        variant = self._variants[mask] = _Variant(self._before, cells, self._after, self._first, self._alone)
        return variant


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else f"'{value}'"


def _insert(table: str, columns: str, after: str = "", usual: UsualValues = ()) -> BatchStatement:
    return BatchStatement(f"INSERT INTO {table} ({columns})", _split(columns), after, usual)


def _update(
    table: str, key: str, columns: str, condition: str = "TRUE", usual: UsualValues = (), first: int = 0
) -> BatchStatement:
    names = _split(columns)
    return _change(table, _split(key), names, [f"{name} = {{}}" for name in names], condition, usual, first)


def _add(table: str, key: str, columns: Sequence[str]) -> BatchStatement:
    """Return an update that adds to columns of existing rows; each row may be named once."""
    return _change(table, _split(key), columns, [f"{name} = {table}.{name} + {{}}" for name in columns])


def _change(
    table: str,
    keys: Sequence[str],
    names: Sequence[str],
    sets: Sequence[str],
    condition: str = "TRUE",
    usual: UsualValues = (),
    first: int = 0,
) -> BatchStatement:
    """Return an update; sets: what each column becomes, with {} for its value in a row."""

    def write(cells: Sequence[str]) -> str:
        changed = ", ".join(one.format(cell) for one, cell in zip(sets, cells[len(keys) :], strict=True))
        found = [f"{table}.{name} = {cell}" for name, cell in zip(keys, cells, strict=False)]
        return f"SET {changed}{{}} WHERE {' AND '.join([*found, condition])}"

    def alone(cells: Sequence[str]) -> str:
        places = count(1)
        bound = [f"?{next(places)}" if cell == "?" else cell for cell in cells]
        return f"UPDATE {table} {write(bound).format('')}"

    before, after = write([f"v.column{n}" for n in range(1, len(keys) + len(names) + 1)]).split("{}")
    before = f"UPDATE {table} {before} FROM ("
    return BatchStatement(before, [*keys, *names], f") AS v{after}", usual, first, alone)


def _split(columns: str) -> list[str]:
    return [name.strip() for name in columns.split(",")]


COUNTS = ", ".join(Counts._fields)  # columns of requests, attempt_rows and usage_hourly
BILLED = ", ".join(BilledEndpoint._fields)  # columns of requests and attempt_rows

OPEN = _insert(
    "requests",
    "id, started_ms, day, user, group_name, token_id, endpoint, requested_model, use_case, session_id, tags,"
    " reserved_pusd, reserved_tokens, streamed, target_provider, key, target_model, groups_above, key_id",
    usual=(
        {"use_case": None, "session_id": None, "tags": None},
        {"group_name": None},
        {"reserved_tokens": None},
        {"groups_above": None},
    ),
)

# a second attempt begins: the first one gets a row of its own (?1: the request)
FIRST_ATTEMPT = """
INSERT OR IGNORE INTO attempt_rows (request_id, n, started_ms, provider, key, model, key_id, generation_id)
SELECT id, 1, started_ms, target_provider, key, target_model, key_id, generation_id FROM requests WHERE id = ?1
"""

ATTEMPT = _insert("attempt_rows", "request_id, n, started_ms, provider, key, model, key_id")

ATTEMPT_END = _update(
    "attempt_rows",
    "request_id, n",
    "outcome, status, served_model, served_by, generation_id, input_tokens, output_tokens, cached_tokens,"
    " reasoning_tokens, cost_pusd, cost_source, ttft_ms, duration_ms, reserved_pusd, reserved_tokens, is_byok,"
    " upstream_cost_pusd",
)

FIRST_GENERATION = _update("requests", "id", "generation_id", "requests.state = 'open'")
GENERATION = _update("attempt_rows", "request_id, n", "generation_id")

EXTEND = _update("requests", "id", "reserved_pusd, reserved_tokens", "requests.state = 'open'")

# a request ends at most once: a second end finds no row, and the count of changed rows tells the writer so
END = _update(
    "requests",
    "id",
    ", ".join(RequestEnd._fields[END_COLUMNS][1:]),
    "requests.state IN ('open', 'pending')",
    first=END_COLUMNS.start,
    usual=(
        {"status": 200, "state": "settled", "attempts": 1, "outcome": "ok", "upstream_status": 200},
        {"error": None, "flags": None},
        {"cost_source": "provider"},
        {"other_models": None},
        {"is_byok": 0},
        {"is_byok": None, "upstream_cost_pusd": None},
    ),
)

# of the few whose answers deciding any of them
REQUEST_COUNTS = _update("requests", "id", COUNTS)
ATTEMPT_COUNTS = _update("attempt_rows", "request_id, n", COUNTS)
# of the few that the provider was asked about
REQUEST_BILLED = _update("requests", "id", BILLED)
ATTEMPT_BILLED = _update("attempt_rows", "request_id, n", BILLED)
_HOURLY_KEY = "hour_ms, user, group_name, model, provider, use_case, groups_above, other_models"
HOURLY_COUNTS = _add("usage_hourly", _HOURLY_KEY, Counts._fields)

# of requests with several attempts: those of one are told by their row (limit_sums.UNCOUNTED_TOKENS)
UNCOUNTED = _update("requests", "id", "uncounted_tokens")

# of the few that take any of what most take none of
RESERVE_PIECES = _update("requests", "id", ", ".join(RESERVED_PIECES))
UNCOUNTED_PIECES_OF = _update("requests", "id", ", ".join(UNCOUNTED_PIECES))
HOURLY_PIECES = _add("usage_hourly", _HOURLY_KEY, UNCOUNTED_PIECES)

# of the few whose figures are in doubt
HOURLY_FLAGGED = _add("usage_hourly", _HOURLY_KEY, ("flagged",))

_HOURLY_SUMS = (
    "requests, errors, input_tokens, output_tokens, cached_tokens, reasoning_tokens, uncounted_tokens, cost_pusd"
)
HOURLY = _insert(
    "usage_hourly",
    f"{_HOURLY_KEY}, {_HOURLY_SUMS}, {', '.join(AnswerSums._fields)}, counts",
    " ON CONFLICT DO UPDATE SET "  # a sum beyond 64 bits would be REAL, which the column refuses: it stays at the most
    + ", ".join(f"{name} = CAST({name} + excluded.{name} AS INTEGER)" for name in _split(_HOURLY_SUMS))
    + "".join(f", {name} = {name} + excluded.{name}" for name in AnswerSums._fields)  # none comes near
    + f", counts = CASE WHEN length(counts) + length(excluded.counts) < {SHORT_BYTES}"
    " THEN CAST(counts || excluded.counts AS BLOB) ELSE add_counts(counts, excluded.counts) END",
)

# one request (?1) or, where it is NULL, all: a range of ids, so that one is found without reading the table, and that a
# start reads only what came after the oldest unfinished request that the writer knew of (MARK)
UNFINISHED = f"""
SELECT r.id, r.state, r.started_ms, r.user, r.group_name, r.use_case, r.requested_model, r.reserved_pusd,
    r.reserved_tokens, r.finished_ms, r.status, r.model, r.finish_reason, r.ttft_ms, r.duration_ms, r.error, r.flags,
    r.groups_above, r.streamed, {", ".join(f"r.{name}" for name in RESERVED_PIECES)}
FROM requests r
WHERE r.state IN ('open', 'pending') AND r.id BETWEEN
    ifnull(?1, ifnull((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'unfinished_from'), 0))
    AND ifnull(?1, 9223372036854775807)
ORDER BY r.id
"""  # noqa: S608 - constants of this file

# all attempts of one request (?1)
ATTEMPTS = f"""
SELECT n, provider, key, model, served_model, served_by, generation_id, status, outcome, input_tokens, output_tokens,
    cached_tokens, reasoning_tokens, cost_pusd, cost_source, ttft_ms, duration_ms, reserved_pusd, reserved_tokens,
    is_byok, upstream_cost_pusd, {COUNTS}, {BILLED}
FROM attempts WHERE request_id = ?1 ORDER BY n
"""  # noqa: S608 - constants of this file

# no request with a smaller id is unfinished
MARK = """
INSERT INTO meta VALUES ('unfinished_from', CAST(?1 AS TEXT)) ON CONFLICT DO UPDATE SET value = excluded.value
"""

MARKED = """
SELECT ifnull((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'unfinished_from'), 0),
    (SELECT ifnull(max(id), 0) FROM requests)
"""

# one request (?1)
STATE = f"""
SELECT state, cost_pusd, ifnull(provider, ''), ifnull(model, ''), ifnull(other_models, ''),
    {", ".join(SETTLED_BY_ROW[i] for i in range(len(COUNTED)) if i not in (COST, REQUESTS))}
FROM requests WHERE id = ?1
"""  # noqa: S608 - constants of this file

# what quota totals are rebuilt from: hours of the roll-up, and the rows of the hours that are needed one by one;
# counts_in is storage/sqlite/model_sets.py's
QUOTA_HOURS = f"""
SELECT hour_ms, user, nullif(group_name, ''), nullif(groups_above, ''), sum(cost_pusd / 1000000000),
    sum(cost_pusd % 1000000000), {COUNTS_BY_HOUR}
FROM usage_hourly WHERE hour_ms < ?1 AND (?2 IS NULL OR use_case = ?2)
    AND (?3 IS NULL OR counts_in(?3, provider, model, other_models))
GROUP BY hour_ms, user, group_name, groups_above
"""  # noqa: S608 - constants of this file

QUOTA_ROWS = f"""
SELECT started_ms, user, group_name, groups_above, ifnull(cost_pusd, 0),
    {COUNTS_BY_ROW}
FROM requests WHERE id >= ?1 AND id < ?2 AND state IN ('settled', 'released') AND (?3 IS NULL OR use_case = ?3)
    AND id NOT IN (SELECT value FROM json_each(?4))
    AND (?5 IS NULL OR counts_in(?5, ifnull(provider, ''), ifnull(model, ''), ifnull(other_models, '')))
"""  # noqa: S608 - constants of this file

# of these hours too: what was corrected, and what belongs to no request
QUOTA_ADJUSTMENTS = f"""
SELECT at_ms, user, nullif(group_name, ''), nullif(groups_above, ''), amount_pusd,
    {", ".join("0" for _ in COUNTED[COST + 1 :])}
FROM adjustments WHERE at_ms >= ?1 AND at_ms < ?2 AND (?3 IS NULL OR use_case = ?3)
    AND (request_id IS NULL OR request_id NOT IN (SELECT value FROM json_each(?4)))
    AND (?5 IS NULL OR counts_in(?5, provider, model, other_models))
"""  # noqa: S608 - constants of this file
