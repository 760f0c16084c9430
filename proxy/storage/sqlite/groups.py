"""Groups in their table. Every change runs inside one transaction of the owner's."""

import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson

from proxy.storage.audit import Actor, changed_only
from proxy.storage.groups import checked_group, group_exists, no_group
from proxy.storage.sqlite.audit_log import append_audit

_LIST = "SELECT name, settings, created_ms FROM groups ORDER BY name"
_FIND = "SELECT name, settings, created_ms FROM groups WHERE name = ?"
_PUT = """INSERT INTO groups (name, settings, created_ms) VALUES (?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET settings = excluded.settings"""
_MEMBERS = "SELECT name FROM users WHERE group_name = ? ORDER BY name"


def _group(row: tuple[Any, ...]) -> dict[str, Any]:
    name, settings, created_ms = row
    return {"name": name, "settings": orjson.loads(settings), "created_ms": created_ms, "source": "database"}


class SqliteGroups:
    """Groups on one connection; a GroupStore where the connection can write."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def list_groups(self) -> list[dict[str, Any]]:
        return [_group(row) for row in self._connection.execute(_LIST)]

    def _find(self, name: str) -> dict[str, Any] | None:
        row = self._connection.execute(_FIND, (name,)).fetchone()
        return None if row is None else _group(row)

    def add_group(self, now_ms: int, actor: Actor, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        checked = checked_group(name, {}, settings)
        if self._find(name) is not None:
            raise group_exists(name)
        return self._put(now_ms, actor, "groups.add", name, checked)

    def set_group(self, now_ms: int, actor: Actor, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        old = self._find(name)
        checked = checked_group(name, {} if old is None else old["settings"], patch)
        return self._put(now_ms, actor, "groups.set", name, checked)

    def _put(self, now_ms: int, actor: Actor, action: str, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        old = self._find(name)
        self._connection.execute(_PUT, (name, orjson.dumps(settings).decode(), now_ms))
        before, after = changed_only({} if old is None else old["settings"], settings)
        append_audit(self._connection, now_ms, actor, action, name, None if old is None else before, after)
        return self._find(name) or {}

    def remove_group(self, now_ms: int, actor: Actor, name: str, *, is_configured: bool) -> dict[str, Any]:
        removed = self._find(name)
        if removed is None:
            raise no_group(name)
        members = [row[0] for row in self._connection.execute(_MEMBERS, (name,))]
        children = [row["name"] for row in self.list_groups() if row["settings"].get("parent") == name]
        self._connection.execute("DELETE FROM groups WHERE name = ?", (name,))
        left: dict[str, Any] = {}
        if not is_configured:
            self._connection.execute("UPDATE users SET group_name = NULL WHERE group_name = ?", (name,))
            for child in children:
                self.set_group(now_ms, actor, child, {"parent": None})
            left = {"members": members, "children": children}
        append_audit(
            self._connection, now_ms, actor, "groups.remove", name, {"settings": removed["settings"], **left}, None
        )
        return removed
