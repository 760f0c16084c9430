"""Who is logged in: every session in memory, and the one writer of their table.

A session holds as long as what it came from: where its token is removed, rotated, disabled or over, so is the session.
"""

import asyncio
import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Iterable
from typing import Final

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from proxy.core.clock import Clock
from proxy.core.user_token import token_hash
from proxy.pipeline.snapshot import Live, Snapshot
from proxy.storage.audit import PROXY, Actor
from proxy.storage.ledger import Ledger, LedgerUnavailableError
from proxy.storage.sessions import SessionKind, SessionRow, StoredSessions, no_session
from proxy.storage.users import MissingError
from proxy.web.dashboard.form_keys import FormKeys

log = logging.getLogger("tollkeeper.sessions")

IDLE_MS: Final = 12 * 3_600_000
LIFE_MS: Final = 7 * 24 * 3_600_000
OF_ONE_MAX: Final = 20  # sessions of one person; a further one ends the one that was used least lately
_SEEN_EVERY_MS: Final = 60_000  # how old what the disk says of the last use may be
_EVERY_S: Final = 1.0
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_TRIED_MAX: Final = 8  # cookies of our name in one request; a browser sends one, or one for each path
_TEXT_MAX: Final = 200


class Proof(Struct, frozen=True):
    """What somebody logged in with. secret_hash: SHA-256 of the token; None: a code. token: the id of a user's."""

    kind: SessionKind
    name: str
    secret_hash: str | None = None
    token: str = ""


class OpenSession(Struct):
    """A session in memory."""

    row: SessionRow
    seen_ms: int
    forms: FormKeys = field(default_factory=FormKeys)

    @property
    def is_users(self) -> bool:
        return self.row.kind == "user"

    def end_ms(self) -> int:
        """Return when it ends by itself, unless it is used meanwhile."""
        return min(self.seen_ms + IDLE_MS, self.row.created_ms + LIFE_MS)


class OpenSessions:
    """All sessions by the digest of their cookie."""

    def __init__(self, ledger: Ledger, live: Live, clock: Clock) -> None:
        self._ledger, self._live, self._clock = ledger, live, clock
        self.cookie = f"tk_{secrets.token_hex(6)}"  # a name of this installation: cookies of all ports come together
        self._open: dict[str, OpenSession] = {}
        self.ends = 0  # sessions that have ended: whoever has looked one up does so again when it is another
        self._ended: dict[str, tuple[Actor, str]] = {}  # over, and perhaps still on disk; who ended them, and why

    def load(self, stored: StoredSessions) -> None:
        """Load what the ledger holds at a start; what is over by now is ended by run()."""
        self.cookie = stored.cookie or self.cookie
        self._open = {row.digest: OpenSession(row, row.seen_ms) for row in stored.rows}

    def find(self, secrets_sent: Iterable[str], *, is_users: bool, is_use: bool = True) -> OpenSession | None:
        """Return the session of a user, or of an operator, that one of the cookies opens; is_use: note that it is used.

        What a page does by itself is no use: a window that was left open would stay logged in.
        """
        for secret in [sent for sent in secrets_sent if _SECRET.fullmatch(sent)][:_TRIED_MAX]:
            session = self._open.get(token_hash(secret))
            if session is None or session.is_users is not is_users:
                continue
            if self._reason_to_end(session, secret) is None:
                if is_use:
                    session.seen_ms = max(session.seen_ms, self._clock.now_ms())
                return session
        return None

    def all(self) -> list[OpenSession]:
        """Return the sessions that hold now, the one that was used last first."""
        holding = [session for session in self._open.values() if self._reason_to_end(session) is None]
        return sorted(holding, key=lambda session: (-session.seen_ms, session.row.id))

    def named(self, id_: str) -> OpenSession:
        """Return the session of an id; raises MissingError for one that does not hold."""
        found = next((session for session in self._open.values() if session.row.id == id_), None)
        if found is None or self._reason_to_end(found) is not None:
            raise no_session(id_)
        return found

    async def begin(self, proof: Proof, actor: Actor, address: str, browser: str) -> tuple[str, OpenSession]:
        """Return the cookie of a new session; it is on disk. Raises LedgerUnavailableError."""
        now_ms, secret = self._clock.now_ms(), secrets.token_urlsafe(32)
        row = SessionRow(
            id=f"ses_{secrets.token_hex(6)}",
            digest=token_hash(secret),
            kind=proof.kind,
            name=proof.name,
            token=proof.token,
            bound=_bound(proof.kind, proof.secret_hash, secret),
            address=address[:_TEXT_MAX],
            browser=_plain(browser)[:_TEXT_MAX],
            created_ms=now_ms,
            seen_ms=now_ms,
        )
        fields = {"session": asdict(row), "cookie": self.cookie}
        self.cookie = await self._ledger.operate("sessions.add", now_ms=now_ms, actor=actor, fields=fields)
        self._open[row.digest] = session = OpenSession(row, now_ms)
        await self._end_surplus(row)
        return secret, session

    async def _end_surplus(self, row: SessionRow) -> None:
        """End the least lately used sessions of somebody who has too many."""
        own = [one for one in self.all() if one.row.name == row.name and one.row.kind == row.kind]
        for session in own[OF_ONE_MAX:]:
            await self._end(session, PROXY, f"more than {OF_ONE_MAX} at once")

    async def end(self, id_: str, actor: Actor, reason: str) -> SessionRow:
        """End a session at once; raises MissingError for one that does not hold."""
        session = self.named(id_)
        await self._end(session, actor, reason)
        return session.row

    async def _end(self, session: OpenSession, actor: Actor, reason: str) -> None:
        self._open.pop(session.row.digest, None)
        self.ends += 1
        self._ended[session.row.id] = actor, reason
        await self._write_ends()

    async def _write_ends(self) -> None:
        """Write what is over; what the disk refuses is tried again by run(), and is over all the same."""
        for id_, (actor, reason) in list(self._ended.items()):
            fields = {"id": id_, "reason": reason}
            try:
                await self._ledger.operate("sessions.end", now_ms=self._clock.now_ms(), actor=actor, fields=fields)
            except LedgerUnavailableError as error:
                log.warning("session.end_not_durable", extra={"session": id_, "problem": str(error)})
                return
            except MissingError:  # another try has removed it
                pass
            self._ended.pop(id_, None)

    # What happens by itself

    async def run(self) -> None:
        """End sessions whose time or token is over, and write when the others were used last, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.tend()

    async def tend(self) -> None:
        """Do once what run() does."""
        for session in list(self._open.values()):
            reason = self._reason_to_end(session)
            if reason is not None:
                await self._end(session, PROXY, reason)
        if self._ended:
            await self._write_ends()
        seen = {
            one.row.id: one.seen_ms for one in self._open.values() if one.seen_ms - one.row.seen_ms >= _SEEN_EVERY_MS
        }
        if not seen:
            return
        try:
            await self._ledger.note_sessions(seen)
        except LedgerUnavailableError as error:
            log.debug("session.use_not_noted", extra={"problem": str(error)})
            return
        for session in self._open.values():
            if session.row.id in seen:
                session.row = replace(session.row, seen_ms=seen[session.row.id])

    def _reason_to_end(self, session: OpenSession, secret: str | None = None) -> str | None:
        """Return why a session holds no longer; None: it does. secret: its cookie, where that is known."""
        now_ms = self._clock.now_ms()
        if now_ms >= session.end_ms():
            return "its time was over"
        return None if _holds(session.row, self._live.current, now_ms, secret) else "its token opens nothing any more"


def _bound(kind: SessionKind, secret_hash: str | None, secret: str) -> str:
    """Return what ties a session to its token. Of admin_token, which may be a weak one, no bare hash is kept."""
    if secret_hash is None:
        return ""
    return _keyed(secret, secret_hash) if kind == "admin_token" else secret_hash


def _keyed(secret: str, secret_hash: str) -> str:
    return hmac.digest(secret.encode(), secret_hash.encode(), hashlib.sha256).hex()


def _holds(row: SessionRow, snapshot: Snapshot, now_ms: int, secret: str | None) -> bool:
    """Return whether the token that a session came from would let its holder in now."""
    if row.kind == "code":
        return True
    if row.kind == "admin_token":
        token = snapshot.settings.admin_token
        if token is None or secret is None:
            return token is not None
        return hmac.compare_digest(_keyed(secret, token_hash(token.reveal())), row.bound)
    if row.kind == "operator":
        operator = snapshot.operators.get(row.bound)
        if operator is None or operator.name != row.name or operator.disabled:
            return False
        return operator.expires_ms is None or now_ms < operator.expires_ms
    found = snapshot.directory.find(row.bound)
    if found is None or found.identity.user != row.name or found.disabled or found.user_disabled:
        return False
    return found.expires_ms is None or now_ms < found.expires_ms


def _plain(text: str) -> str:
    """Return what a browser calls itself, as text that a table can show."""
    return "".join(char for char in text if char.isprintable())
