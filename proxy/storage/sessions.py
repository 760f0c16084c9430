"""Logins to the dashboard and to users' own pages: what is stored of them, and who may change it.

A session is opened by its cookie, of which only the SHA-256 is stored, and ends with the token that it came from.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, Protocol, get_args

from msgspec import Struct

from proxy.core.secret import SecretHolder
from proxy.storage.audit import Actor
from proxy.storage.users import MissingError, UserError

SessionKind = Literal["operator", "admin_token", "code", "user"]
KINDS: Final = get_args(SessionKind)


class SessionRow(SecretHolder, frozen=True):
    """A login. kind: by an operator's token, by admin_token, by a code of the command line, or by a user's token.

    digest: SHA-256 of the cookie, in hex. bound: SHA-256 of the token, in hex; of admin_token a keyed one with the
    cookie as its key, as somebody may have chosen it themselves; of a code "". token: a user's token by its id.
    """

    NOT_SHOWN: ClassVar = frozenset({"digest", "bound"})

    id: str
    digest: str
    kind: SessionKind
    name: str
    token: str
    bound: str
    address: str
    browser: str
    created_ms: int
    seen_ms: int


class StoredSessions(Struct, frozen=True):
    """All sessions, and the name of the cookie; None: nobody has ever logged in."""

    cookie: str | None
    rows: tuple[SessionRow, ...]


class SessionReader(Protocol):
    """What is asked of sessions."""

    def sessions(self) -> StoredSessions:
        """Return all that are stored, the oldest first; the time of some may be over."""
        ...


class SessionStore(Protocol):
    """What changes sessions; who logged in, and who ended it, goes to the audit trail."""

    def add_session(self, now_ms: int, actor: Actor, session: SessionRow, cookie: str) -> str:
        """Store a session, and the cookie's name if there is none yet; return the name that holds."""
        ...

    def end_session(self, now_ms: int, actor: Actor, id_: str, reason: str) -> SessionRow:
        """Remove a session; raises MissingError."""
        ...


def read_session(given: Mapping[str, Any]) -> SessionRow:
    """Return the session that the fields of a change describe; raises UserError."""
    texts = [name for name in SessionRow.__struct_fields__ if not name.endswith("_ms")]
    if any(not isinstance(given.get(name), str) for name in texts) or given["kind"] not in KINDS:
        raise UserError(f"session: the texts {', '.join(texts)} are needed.")
    if type(given.get("created_ms")) is not int:
        raise UserError("created_ms: whole milliseconds are needed.")
    return SessionRow(
        **{name: given[name] for name in texts}, created_ms=given["created_ms"], seen_ms=given["created_ms"]
    )


def told(session: SessionRow) -> dict[str, str]:
    """Return what the audit trail keeps of a session."""
    return {name: getattr(session, name) for name in ("kind", "name", "token", "address", "browser")}


def no_session(id_: str) -> MissingError:
    """Return the error for a session that is not there."""
    return MissingError(f"There is no session {id_!r}; it may have ended. See: tollkeeper dashboard sessions")
