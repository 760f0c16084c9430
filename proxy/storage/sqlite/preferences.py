"""What users have set for themselves, in its table."""

import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson

from proxy.storage.audit import Actor
from proxy.storage.preferences import no_preferences, read_preferences
from proxy.storage.sqlite.audit_log import append_audit
from proxy.storage.users import check_name

_ALL = "SELECT user, settings FROM preferences"
_FIND = "SELECT settings FROM preferences WHERE user = ?"
_SET = """INSERT INTO preferences (user, settings, changed_ms) VALUES (?1, ?2, ?3)
    ON CONFLICT DO UPDATE SET settings = excluded.settings, changed_ms = excluded.changed_ms"""
_REMOVE = "DELETE FROM preferences WHERE user = ?"


class SqlitePreferences:
    """The preferences of users on one connection; a PreferenceStore where the connection can write."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def all_preferences(self) -> dict[str, dict[str, Any]]:
        """Return what each user prefers, by name."""
        return {user: orjson.loads(settings) for user, settings in self._connection.execute(_ALL)}

    def set_preferences(self, now_ms: int, actor: Actor, user: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        check_name(user, "user")
        read_preferences(settings)
        before = self._find(user)
        self._connection.execute(_SET, (user, orjson.dumps(settings).decode(), now_ms))
        append_audit(self._connection, now_ms, actor, "preferences.set", user, before, settings)
        return dict(settings)

    def remove_preferences(self, now_ms: int, actor: Actor, user: str) -> dict[str, Any]:
        before = self._find(user)
        if before is None:
            raise no_preferences(user)
        self._connection.execute(_REMOVE, (user,))
        append_audit(self._connection, now_ms, actor, "preferences.remove", user, before, None)
        return before

    def _find(self, user: str) -> dict[str, Any] | None:
        row = self._connection.execute(_FIND, (user,)).fetchone()
        found: dict[str, Any] | None = None if row is None else orjson.loads(row[0])
        return found
