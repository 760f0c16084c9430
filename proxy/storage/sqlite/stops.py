"""Stops in their table. Every change runs inside one transaction of the owner's."""

import sqlite3
from typing import Any

from msgspec.structs import asdict, replace

from proxy.policy.stop import Stop
from proxy.storage.audit import Actor
from proxy.storage.sqlite.audit_log import append_audit
from proxy.storage.stops import no_stop

_COLUMNS = "id, kind, subject, reason, cut, actor, source, created_ms, until_ms, effect, preset, a_minute, rule"
_LIST = f"SELECT {_COLUMNS} FROM stops ORDER BY created_ms, id"  # noqa: S608 - the names stand in the line above
_FIND = f"SELECT {_COLUMNS} FROM stops WHERE id = ?"  # noqa: S608 - likewise
_ADD = f"INSERT INTO stops ({_COLUMNS}) VALUES (?{', ?' * 12})"  # noqa: S608 - likewise
_REMOVE = "DELETE FROM stops WHERE id = ?"


def _stop(row: tuple[Any, ...]) -> Stop:
    stop = Stop(*row)
    return replace(stop, cut=bool(stop.cut))


def told(stop: Stop) -> dict[str, object]:
    """Return what the audit trail keeps of a stop."""
    return {name: value for name, value in asdict(stop).items() if name not in ("id", "actor", "source", "created_ms")}


class SqliteStops:
    """Stops on one connection; a StopStore where the connection can write."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def list_stops(self) -> list[Stop]:
        return [_stop(row) for row in self._connection.execute(_LIST)]

    def add_stop(self, now_ms: int, actor: Actor, stop: Stop) -> Stop:
        if self._connection.execute(_FIND, (stop.id,)).fetchone() is None:
            self._connection.execute(_ADD, tuple(asdict(stop).values()))
            append_audit(self._connection, now_ms, actor, "stops.add", stop.id, None, told(stop))
        return stop

    def end_stop(self, now_ms: int, actor: Actor, id_: str) -> Stop:
        row = self._connection.execute(_FIND, (id_,)).fetchone()
        if row is None:
            raise no_stop(id_)
        stop = _stop(row)
        self._connection.execute(_REMOVE, (id_,))
        append_audit(self._connection, now_ms, actor, "stops.end", id_, told(stop), None)
        return stop
