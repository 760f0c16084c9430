"""Sessions in their table. Every change runs inside one transaction of the owner's."""

import sqlite3
from collections.abc import Mapping

from msgspec.structs import astuple

from proxy.storage.audit import Actor
from proxy.storage.sessions import SessionRow, StoredSessions, no_session, told
from proxy.storage.sqlite.audit_log import append_audit

_COLUMNS = "id, digest, kind, name, token, bound, address, browser, created_ms, seen_ms"
_LIST = f"SELECT {_COLUMNS} FROM sessions ORDER BY created_ms, id"  # noqa: S608 - the names stand in the line above
_FIND = f"SELECT {_COLUMNS} FROM sessions WHERE id = ?"  # noqa: S608 - likewise
_ADD = f"INSERT INTO sessions ({_COLUMNS}) VALUES (?{', ?' * 9})"  # noqa: S608 - likewise
_REMOVE = "DELETE FROM sessions WHERE id = ?"
_SEEN = "UPDATE sessions SET seen_ms = max(seen_ms, ?) WHERE id = ?"
_COOKIE = "SELECT value FROM meta WHERE name = 'session_cookie'"
_NAME_COOKIE = "INSERT OR IGNORE INTO meta VALUES ('session_cookie', ?)"


class SqliteSessions:
    """Sessions on one connection; a SessionStore where the connection can write."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def sessions(self) -> StoredSessions:
        rows = tuple(SessionRow(*row) for row in self._connection.execute(_LIST))
        return StoredSessions(self._cookie(), rows)

    def _cookie(self) -> str | None:
        found = self._connection.execute(_COOKIE).fetchone()
        return None if found is None else str(found[0])

    def add_session(self, now_ms: int, actor: Actor, session: SessionRow, cookie: str) -> str:
        self._connection.execute(_ADD, astuple(session))
        self._connection.execute(_NAME_COOKIE, (cookie,))
        append_audit(self._connection, now_ms, actor, "sessions.add", session.id, None, told(session))
        return self._cookie() or cookie

    def end_session(self, now_ms: int, actor: Actor, id_: str, reason: str) -> SessionRow:
        row = self._connection.execute(_FIND, (id_,)).fetchone()
        if row is None:
            raise no_session(id_)
        session = SessionRow(*row)
        self._connection.execute(_REMOVE, (id_,))
        append_audit(self._connection, now_ms, actor, "sessions.end", id_, told(session), {"reason": reason})
        return session


def note_sessions(connection: sqlite3.Connection, seen: Mapping[str, int]) -> None:
    """Write when sessions were used last; nobody changes anything by that, so the audit trail tells none of it."""
    connection.executemany(_SEEN, [(seen_ms, id_) for id_, seen_ms in seen.items()])
