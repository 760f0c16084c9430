"""Configurations that were in force, in their table."""

import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson

from proxy.storage.audit import Actor
from proxy.storage.configurations import KEPT, is_new

_COLUMNS = ("id", "at_ms", "actor", "source", "fingerprint", "file", "changes", "text")
_LIST = f"SELECT {', '.join(_COLUMNS)} FROM configurations ORDER BY id DESC LIMIT {KEPT}"  # noqa: S608 - constants
_ADD = (
    "INSERT INTO configurations (at_ms, actor, source, fingerprint, file, changes, text) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_FORGET = "DELETE FROM configurations WHERE id <= (SELECT max(id) FROM configurations) - ?"


class SqliteConfigurations:
    """Configurations on one connection; a ConfigurationStore where the connection can write."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def list_configurations(self) -> list[dict[str, Any]]:
        found = (dict(zip(_COLUMNS, row, strict=True)) for row in self._connection.execute(_LIST))
        return [{**row, "changes": orjson.loads(row["changes"])} for row in found]

    def keep_configuration(self, now_ms: int, actor: Actor, loaded: Mapping[str, Any]) -> None:
        if not is_new(self.list_configurations(), loaded):
            return
        fingerprint, changes = loaded["fingerprint"], list(loaded["changes"])
        stored = (fingerprint, loaded["file"], orjson.dumps(changes).decode(), loaded["text"])
        self._connection.execute(_ADD, (now_ms, actor.name, actor.source, *stored))
        self._connection.execute(_FORGET, (KEPT,))
