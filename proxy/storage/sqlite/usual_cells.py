"""Which columns have one value in all rows of a slice, so that SQLite need not write it anew for each.

Many are such: what few requests have, what nearly all do. A slice is taken to have the values of the one before. Each
of its lines checks that, which is a third of the work of writing them, and where one has another value the slice is
looked at anew.
"""

import re
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

MARK: Final = "\x1f"  # at the end of a line that has another value; should a text hold it, the slice is looked at anew
_ROWS_MIN: Final = 50  # in fewer, too much is the same by chance
_CHANGES_MAX: Final = 3  # a column that has changed so often goes on changing
_COLUMN: Final = re.compile(r"\br\.(\w+)")
_NEVER: Final = frozenset({"id", "started_ms"})
_BYTES: Final = "CASE typeof(r.{0}) WHEN 'text' THEN CAST(r.{0} AS BLOB) ELSE r.{0} END"  # a broken text is no error

Value = str | int | None


class UsualCells:
    """Knows the usual values of the columns that some terms of SQL over r, a row of requests, name."""

    def __init__(self, terms: Sequence[str]) -> None:
        named = dict.fromkeys(name for term in terms for name in _COLUMN.findall(term))
        self._names = [name for name in named if name not in _NEVER]
        self._changes = Counter[str]()
        self._values: dict[str, Value] = {}
        self.is_new = True  # nothing was looked at yet

    def text(self, term: str) -> str | None:
        """Return the usual value of a term that is nothing but a column, as text; None: it has none."""
        found = _COLUMN.fullmatch(term)
        if found is None or found[1] not in self._values:
            return None
        value = self._values[found[1]]
        return "" if value is None else str(value)

    def write(self, term: str) -> str:
        """Return a term with usual values in place of columns."""
        return _COLUMN.sub(self._literal, term)

    def _literal(self, found: "re.Match[str]") -> str:
        return _literal(self._values[found[1]]) if found[1] in self._values else found[0]

    def mark(self) -> str:
        """Return a term that is empty for a row in which all have their usual values, and else MARK."""
        if not self._values:
            return "''"
        same = " AND ".join(f"r.{name} IS {_literal(value)}" for name, value in self._values.items())
        return f"CASE WHEN {same} THEN '' ELSE char({ord(MARK)}) END"

    def learn(self, connection: sqlite3.Connection, source: str, values: Mapping[str, Any]) -> bool:
        """Look at all rows of a slice, FROM and WHERE in SQL; return whether anything usual has become another."""
        self.is_new = False
        found = self._common(connection, source, values)
        before, self._values = self._values, found
        self._changes.update(name for name in before if name not in found or found[name] != before[name])
        return found != before

    def _common(self, connection: sqlite3.Connection, source: str, values: Mapping[str, Any]) -> dict[str, Value]:
        """Return what all the rows have in common."""
        names = [name for name in self._names if self._changes[name] < _CHANGES_MAX]
        cells = ", ".join(_BYTES.format(name) for name in names)
        first = connection.execute(f"SELECT {cells} {source} LIMIT 1", values).fetchone() if names else None
        known = {name: _value(cell) for name, cell in zip(names, first or (), strict=False) if _is_known(cell)}
        if not known:
            return {}
        same = ", ".join(f"min(r.{name} IS {_literal(value)})" for name, value in known.items())
        rows, *kept = connection.execute(f"SELECT count(*), {same} {source}", values).fetchone()
        if rows < _ROWS_MIN:
            return {}
        return {name: value for (name, value), is_kept in zip(known.items(), kept, strict=True) if is_kept}


def _is_known(cell: object) -> bool:
    """Return whether a cell can stand in a statement."""
    if isinstance(cell, bytes):
        try:
            cell.decode()
        except UnicodeDecodeError:
            return False
        return b"\0" not in cell
    return cell is None or isinstance(cell, int)


def _value(cell: Any) -> Value:
    value: Value = cell.decode() if isinstance(cell, bytes) else cell
    return value


def _literal(value: Value) -> str:
    """Return a value in SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return f"({value})" if value < 0 else str(value)
    return "'" + value.replace("'", "''") + "'"
