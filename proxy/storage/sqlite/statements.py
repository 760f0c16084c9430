"""The SQL of the hot path: one statement a table and a group of requests.

The rows of a group travel as parameters of one statement, so that the writer takes the interpreter's lock once a
statement and not once a row; as a JSON array they would cost twice as much. Groups are cut into some sizes, so that
statements are prepared once.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from proxy.core.counts import Counts

# Rows of one statement: SQLite takes 32,766 parameters, and beyond 32 rows a row gets little cheaper. Each size is
# prepared and kept once a table: most groups take one statement a table, for each has a price of its own.
_SIZES = (*range(1, 33), 40, 48, 56, 64)
STATEMENTS = 10 * len(_SIZES)  # what a connection should keep prepared


class BatchStatement:
    """A statement over several rows: before, the rows as VALUES, after. width: the values of one row."""

    def __init__(self, before: str, width: int, after: str) -> None:
        self._before = before
        self._after = after
        self._row = f"({', '.join('?' * width)})"
        self._texts: dict[int, str] = {}  # by the number of rows

    def runs(self, rows: Sequence[tuple[object, ...]]) -> Iterator[tuple[str, list[object]]]:
        """Yield statements and their parameters for all rows, in order.

        Plain tuples are put together several times as fast as others.
        """
        done = 0
        while done < len(rows):
            size = _SIZES[bisect_right(_SIZES, len(rows) - done) - 1]
            values: list[object] = []
            for row in rows[done : done + size]:
                values += row
            yield self._text(size), values
            done += size

    def _text(self, rows: int) -> str:
        text = self._texts.get(rows)
        if text is None:
            text = self._texts[rows] = f"{self._before} VALUES {', '.join([self._row] * rows)}{self._after}"
        return text


def _insert(table: str, columns: str, after: str = "") -> BatchStatement:
    return BatchStatement(f"INSERT INTO {table} ({columns})", len(columns.split(",")), after)


def _update(table: str, key: str, columns: str, condition: str = "TRUE", after: str = "") -> BatchStatement:
    keys = [name.strip() for name in key.split(",")]
    names = [name.strip() for name in columns.split(",")]
    sets = ", ".join(f"{name} = v.column{n}" for n, name in enumerate(names, len(keys) + 1))
    where = " AND ".join(f"{table}.{name} = v.column{n}" for n, name in enumerate(keys, 1))
    return BatchStatement(
        f"UPDATE {table} SET {sets} FROM (",  # noqa: S608 - constants of this file
        len(keys) + len(names),
        f") AS v WHERE {where} AND {condition}{after}",
    )


def _add(table: str, key: str, columns: Sequence[str]) -> BatchStatement:
    """Return an update that adds to columns of existing rows; each row may be named once."""
    keys = [name.strip() for name in key.split(",")]
    sets = ", ".join(f"{name} = {table}.{name} + v.column{n}" for n, name in enumerate(columns, len(keys) + 1))
    where = " AND ".join(f"{table}.{name} = v.column{n}" for n, name in enumerate(keys, 1))
    return BatchStatement(
        f"UPDATE {table} SET {sets} FROM (",  # noqa: S608 - constants of this file
        len(keys) + len(columns),
        f") AS v WHERE {where}",
    )


COUNTS = ", ".join(Counts._fields)  # columns of requests, attempt_rows and usage_hourly

OPEN = _insert(
    "requests",
    "id, started_ms, day, user, group_name, token_id, endpoint, requested_model, use_case, session_id, tags,"
    " reserved_pusd, reserved_tokens, streamed, target_provider, key, target_model",
)

# a second attempt begins: the first one gets a row of its own (?1: the request)
FIRST_ATTEMPT = """
INSERT OR IGNORE INTO attempt_rows (request_id, n, started_ms, provider, key, model, generation_id)
SELECT id, 1, started_ms, target_provider, key, target_model, generation_id FROM requests WHERE id = ?1
"""

ATTEMPT = _insert("attempt_rows", "request_id, n, started_ms, provider, key, model")

ATTEMPT_END = _update(
    "attempt_rows",
    "request_id, n",
    "outcome, status, served_model, served_by, generation_id, input_tokens, output_tokens, cached_tokens,"
    " reasoning_tokens, cost_pusd, cost_source, ttft_ms, duration_ms, reserved_pusd, reserved_tokens",
)

FIRST_GENERATION = _update("requests", "id", "generation_id", "requests.state = 'open'")
GENERATION = _update("attempt_rows", "request_id, n", "generation_id")

EXTEND = _update("requests", "id", "reserved_pusd, reserved_tokens", "requests.state = 'open'")

# a request ends at most once: a second end finds no row, and the count of changed rows tells the writer so
END = _update(
    "requests",
    "id",
    "finished_ms, model, provider, status, finish_reason, input_tokens, output_tokens, cached_tokens,"
    " reasoning_tokens, cost_pusd, cost_source, state, ttft_ms, duration_ms, attempts, generation_id, error, flags,"
    " outcome, upstream_status, served_by",
    "requests.state IN ('open', 'pending')",
)

# of the few whose answers told any of them
REQUEST_COUNTS = _update("requests", "id", COUNTS)
ATTEMPT_COUNTS = _update("attempt_rows", "request_id, n", COUNTS)
HOURLY_COUNTS = _add("usage_hourly", "hour_ms, user, group_name, model, provider, use_case", Counts._fields)

# of requests with several attempts: those of one are told by their row (UNCOUNTED_TOKENS)
UNCOUNTED = _update("requests", "id", "uncounted_tokens")

_HOURLY_KEY = "hour_ms, user, group_name, model, provider, use_case"
_HOURLY_SUMS = (
    "requests, errors, input_tokens, output_tokens, cached_tokens, reasoning_tokens, uncounted_tokens, cost_pusd"
)
HOURLY = _insert(
    "usage_hourly",
    f"{_HOURLY_KEY}, {_HOURLY_SUMS}",
    " ON CONFLICT DO UPDATE SET "  # a sum beyond 64 bits would be REAL, which the column refuses: it stays at the most
    + ", ".join(f"{name} = CAST({name} + excluded.{name} AS INTEGER)" for name in _HOURLY_SUMS.split(", ")),
)

# one request (?1) or, where it is NULL, all: a range of ids, so that one is found without reading the table, and that a
# start reads only what came after the oldest unfinished request that the writer knew of (MARK)
UNFINISHED = """
SELECT r.id, r.state, r.started_ms, r.user, r.group_name, r.use_case, r.requested_model, r.reserved_pusd,
    r.reserved_tokens, r.finished_ms, r.status, r.model, r.finish_reason, r.ttft_ms, r.duration_ms, r.error, r.flags
FROM requests r
WHERE r.state IN ('open', 'pending') AND r.id BETWEEN
    ifnull(?1, ifnull((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'unfinished_from'), 0))
    AND ifnull(?1, 9223372036854775807)
ORDER BY r.id
"""

# all attempts of one request (?1)
ATTEMPTS = f"""
SELECT n, provider, key, model, served_model, served_by, generation_id, status, outcome, input_tokens, output_tokens,
    cached_tokens, reasoning_tokens, cost_pusd, cost_source, ttft_ms, duration_ms, reserved_pusd, reserved_tokens,
    {COUNTS}
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

# what token limits count, beside the tokens that were counted
UNCOUNTED_TOKENS = (
    "ifnull(uncounted_tokens, CASE WHEN state = 'settled' AND input_tokens IS NULL AND output_tokens IS NULL"
    " THEN ifnull(reserved_tokens, 0) ELSE 0 END)"
)

# one request (?1)
STATE = f"""
SELECT state, cost_pusd, ifnull(input_tokens, 0) + ifnull(output_tokens, 0) + {UNCOUNTED_TOKENS}
FROM requests WHERE id = ?1
"""  # noqa: S608 - constants of this file

# what quota totals are rebuilt from: hours of the roll-up, and the rows of the hours that are needed one by one
QUOTA_HOURS = """
SELECT hour_ms, user, nullif(group_name, ''), sum(cost_pusd / 1000000000), sum(cost_pusd % 1000000000),
    sum(input_tokens + output_tokens + uncounted_tokens), sum(requests)
FROM usage_hourly WHERE hour_ms < ?1 AND (?2 IS NULL OR use_case = ?2) GROUP BY hour_ms, user, group_name
"""

QUOTA_ROWS = f"""
SELECT started_ms, user, group_name, ifnull(cost_pusd, 0),
    ifnull(input_tokens, 0) + ifnull(output_tokens, 0) + {UNCOUNTED_TOKENS}, 1
FROM requests WHERE id >= ?1 AND id < ?2 AND state IN ('settled', 'released') AND (?3 IS NULL OR use_case = ?3)
    AND id NOT IN (SELECT value FROM json_each(?4))
"""  # noqa: S608 - constants of this file
