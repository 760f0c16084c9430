"""What the operator says of models and providers, in its tables."""

import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson

from proxy.storage.audit import Actor
from proxy.storage.models import changed_settings, check_model, check_provider, no_model
from proxy.storage.sqlite.audit_log import append_audit
from proxy.storage.users import check_name

_LIST = {
    "models": "SELECT name, settings, changed_ms FROM models ORDER BY name",
    "providers": "SELECT name, settings, changed_ms FROM providers ORDER BY name",
}
_FIND = {
    "models": "SELECT settings FROM models WHERE name = ?",
    "providers": "SELECT settings FROM providers WHERE name = ?",
}
_SET = {
    "models": """INSERT INTO models (name, settings, changed_ms) VALUES (?1, ?2, ?3)
        ON CONFLICT DO UPDATE SET settings = excluded.settings, changed_ms = excluded.changed_ms""",
    "providers": """INSERT INTO providers (name, settings, changed_ms) VALUES (?1, ?2, ?3)
        ON CONFLICT DO UPDATE SET settings = excluded.settings, changed_ms = excluded.changed_ms""",
}
_REMOVE = {"models": "DELETE FROM models WHERE name = ?", "providers": "DELETE FROM providers WHERE name = ?"}


class SqliteModels:
    """Models and providers on one connection; a ModelStore where the connection can write."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def list_models(self) -> list[dict[str, Any]]:
        """Return what is stored of models, by name."""
        return self._list("models")

    def list_providers(self) -> list[dict[str, Any]]:
        """Return what is stored of providers, by name."""
        return self._list("providers")

    def set_model(self, now_ms: int, actor: Actor, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        before = self._find("models", name)
        after = changed_settings(before or {}, changes)
        check_model(name, after)
        return self._put("models", now_ms, actor, name, before, after)

    def remove_model(self, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
        before = self._find("models", name)
        if before is None:
            raise no_model(name)
        self._connection.execute(_REMOVE["models"], (name,))
        append_audit(self._connection, now_ms, actor, "models.remove", name, before, None)
        return {"name": name, "settings": before}

    def set_provider(self, now_ms: int, actor: Actor, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        check_name(name, "provider")
        check_provider(changes)
        before = self._find("providers", name)
        return self._put("providers", now_ms, actor, name, before, changed_settings(before or {}, changes))

    def _list(self, table: str) -> list[dict[str, Any]]:
        rows = self._connection.execute(_LIST[table])
        return [{"name": name, "settings": orjson.loads(text), "changed_ms": ms} for name, text, ms in rows]

    def _find(self, table: str, name: str) -> dict[str, Any] | None:
        row = self._connection.execute(_FIND[table], (name,)).fetchone()
        found: dict[str, Any] | None = None if row is None else orjson.loads(row[0])
        return found

    def _put(
        self, table: str, now_ms: int, actor: Actor, name: str, before: dict[str, Any] | None, after: dict[str, Any]
    ) -> dict[str, Any]:
        """Write the settings of a name; nothing is left of one without any."""
        if after:
            self._connection.execute(_SET[table], (name, orjson.dumps(after).decode(), now_ms))
        elif before is not None:
            self._connection.execute(_REMOVE[table], (name,))
        if after != (before or {}):
            append_audit(self._connection, now_ms, actor, f"{table}.set", name, before, after or None)
        return {"name": name, "settings": after}
