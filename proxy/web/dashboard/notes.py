"""Notes for the next page of a session: what a change has done, shown once."""

from typing import Final

_SESSIONS_MAX: Final = 1000


class SessionNotes:
    """The last note of each session that has not been shown. One writer: the event loop."""

    def __init__(self) -> None:
        self._notes: dict[str, str] = {}

    def leave(self, session_id: str, note: str) -> None:
        """Keep a note for the next page."""
        self._notes.pop(session_id, None)
        self._notes[session_id] = note
        if len(self._notes) > _SESSIONS_MAX:  # of sessions that never came back
            del self._notes[next(iter(self._notes))]

    def take(self, session_id: str) -> str | None:
        """Return the note and forget it."""
        return self._notes.pop(session_id, None)
