"""A cursor of apsw that knows how many rows it changed, as those of sqlite3 do."""

import apsw


class Cursor(apsw.Cursor):
    """Set it as cursor_factory of a connection."""

    @property
    def rowcount(self) -> int:
        """Of the statement that has just run."""
        return self.connection.changes()
