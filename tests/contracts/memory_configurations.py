"""Configurations that were in force, in a list."""

from collections.abc import Mapping
from typing import Any

from proxy.storage.audit import Actor
from proxy.storage.configurations import KEPT, is_new


class MemoryConfigurations:
    """Configurations of a store, newest first."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    def list_configurations(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self._rows]

    def keep_configuration(self, now_ms: int, actor: Actor, loaded: Mapping[str, Any]) -> None:
        if is_new(self._rows, loaded):
            id_ = self._rows[0]["id"] + 1 if self._rows else 1
            row = {"id": id_, "at_ms": now_ms, "actor": actor.name, "source": actor.source, **loaded}
            self._rows.insert(0, row)
            del self._rows[KEPT:]
