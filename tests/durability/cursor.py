"""A connection and a cursor of apsw with as much of sqlite3's surface as a ledger uses."""

from collections.abc import Callable
from typing import Any

import apsw


class Connection(apsw.Connection):
    """A connection to which functions are added as to one of sqlite3."""

    def create_function(
        self, name: str, arguments: int, function: Callable[..., Any], *, deterministic: bool = False
    ) -> None:
        self.create_scalar_function(name, function, arguments, deterministic=deterministic)


class Cursor(apsw.Cursor):
    """Set it as cursor_factory of a connection."""

    @property
    def rowcount(self) -> int:
        """Of the statement that has just run."""
        return self.connection.changes()
