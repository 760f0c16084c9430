"""Sessions in a dictionary."""

from collections.abc import Mapping

from msgspec.structs import replace

from proxy.storage.audit import Actor
from proxy.storage.sessions import SessionRow, StoredSessions, no_session


class MemorySessions:
    """Sessions of a store, by their ids."""

    def __init__(self) -> None:
        self._rows: dict[str, SessionRow] = {}
        self._cookie: str | None = None

    def sessions(self) -> StoredSessions:
        rows = sorted(self._rows.values(), key=lambda row: (row.created_ms, row.id))
        return StoredSessions(self._cookie, tuple(rows))

    def add_session(self, now_ms: int, actor: Actor, session: SessionRow, cookie: str) -> str:
        assert actor.name
        assert now_ms >= 0
        self._rows[session.id] = session
        self._cookie = self._cookie or cookie
        return self._cookie

    def end_session(self, now_ms: int, actor: Actor, id_: str, reason: str) -> SessionRow:
        assert actor.name
        assert now_ms >= 0
        assert reason
        if id_ not in self._rows:
            raise no_session(id_)
        return self._rows.pop(id_)

    def note(self, seen: Mapping[str, int]) -> None:
        for id_, seen_ms in seen.items():
            if id_ in self._rows:
                self._rows[id_] = replace(self._rows[id_], seen_ms=max(seen_ms, self._rows[id_].seen_ms))
