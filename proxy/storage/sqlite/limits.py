"""Limits that belong to no user and no group, in their table. Changes run inside a transaction of the owner's."""

import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson

from proxy.storage.audit import Actor
from proxy.storage.limits import LimitScope, limits_of
from proxy.storage.sqlite.audit_log import append_audit

_LIST = "SELECT scope, name, settings FROM limits ORDER BY scope, name"
_FIND = "SELECT settings FROM limits WHERE scope = ? AND name = ?"
_PUT = """INSERT INTO limits (scope, name, settings) VALUES (?, ?, ?)
    ON CONFLICT (scope, name) DO UPDATE SET settings = excluded.settings"""


class SqliteLimits:
    """Limits on one connection; a LimitStore where the connection can write."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def list_limits(self) -> list[dict[str, Any]]:
        rows = self._connection.execute(_LIST)
        return [{"scope": scope, "name": name, "settings": orjson.loads(settings)} for scope, name, settings in rows]

    def find_limits(self, scope: LimitScope) -> dict[str, Any]:
        row = self._connection.execute(_FIND, scope).fetchone()
        found: dict[str, Any] = {} if row is None else orjson.loads(row[0])
        return found

    def put_limits(self, now_ms: int, actor: Actor, scope: LimitScope, settings: Mapping[str, Any]) -> None:
        before = self.find_limits(scope)
        limits_of(settings)  # what cannot be read is never stored
        if settings:
            self._connection.execute(_PUT, (*scope, orjson.dumps(settings).decode()))
        else:
            self._connection.execute("DELETE FROM limits WHERE scope = ? AND name = ?", scope)
        append_audit(self._connection, now_ms, actor, "limits.set", scope.text, before or None, settings or None)
