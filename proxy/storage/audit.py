"""Who changed what, when, from where: the entries of the audit trail, and how each is chained to the one before it.

An entry's hash covers all of it and the hash before it, so that a row which somebody changed, removed, inserted or
moved no longer fits. Secrets never stand in an entry, only their SHA-256, and only of what nobody can guess.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import orjson
from msgspec import Struct

NO_HASH = bytes(32)  # stands before the first entry


class Actor(Struct, frozen=True):
    """Who changes something, as they were authenticated.

    source: "socket", "tcp 10.0.0.7", "command line", "request" (of a client), "file", "proxy" (by itself).
    """

    name: str
    source: str


PROXY = Actor("proxy", "proxy")  # what changes by itself


class AuditHead(NamedTuple):
    """Where the chain ends: the id and the hash of the last entry. Noted elsewhere, it proves all that was before."""

    id: int
    hash: bytes


class AuditRow(NamedTuple):
    """One entry as it is stored; before and after are JSON objects as text, None where there is nothing.

    previous and hash are None in a row that is in no chain: of an earlier version, or put there by hand.
    """

    id: int
    ts_ms: int
    actor: str
    source: str
    action: str
    subject: str
    before: str | None
    after: str | None
    previous: bytes | None
    hash: bytes | None


def audit_text(value: Mapping[str, Any] | None) -> str | None:
    """Return what an entry stores of a state: JSON with sorted names."""
    return None if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def audit_hash(row: AuditRow) -> bytes:
    """Return the SHA-256 of an entry and of the hash before it; row.hash itself takes no part."""
    fields = (str(row.id), str(row.ts_ms), row.actor, row.source, row.action, row.subject, row.before, row.after)
    digest = hashlib.sha256(row.previous or b"")
    for field in fields:
        raw = b"" if field is None else field.encode(errors="surrogatepass")
        # with its length, so that no character can move from one field into the next; -1 is no length
        digest.update(b"%d:" % (-1 if field is None else len(raw)))
        digest.update(raw)
    return digest.digest()


def changed_only(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return of two states of one thing only the fields in which they differ."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return (
        {name: before[name] for name in names if name in before},
        {name: after[name] for name in names if name in after},
    )


class AuditFilter(NamedTuple):
    """Which entries: since_ms counts itself, until_ms does not; action may be a pattern, as users.*; None: any."""

    since_ms: int | None = None
    until_ms: int | None = None
    actor: str | None = None
    action: str | None = None
    subject: str | None = None


class AuditFault(NamedTuple):
    """One place where the chain does not hold. id: of the entry at which it shows."""

    id: int
    kind: str  # changed, missing, broken, unchained, cut, other_head
    text: str


class AuditVerification(Struct, frozen=True):
    """What a look over the whole chain found. faults: the first of fault_count. head None: there is no entry yet."""

    entries: int
    head: AuditHead | None
    faults: tuple[AuditFault, ...]
    fault_count: int


class AuditReader(Protocol):
    """What is asked of the audit trail."""

    def audit_entries(self, wanted: AuditFilter, before_id: int | None, count: int) -> list[AuditRow]:
        """Return entries, the newest first; before_id: only those before this one."""
        ...

    def verify_audit(self, noted: AuditHead | None = None) -> AuditVerification:
        """Recompute the whole chain. noted: a head that was written down elsewhere, which must be in it."""
        ...


class AuditStore(Protocol):
    """What appends to the audit trail what is no change of a row."""

    def note(
        self,
        now_ms: int,
        actor: Actor,
        action: str,
        subject: str,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        """Append an entry."""
        ...


FAULTS_MAX = 100  # listed; all are counted


def verify_chain(rows: Iterable[AuditRow], head: AuditHead | None, noted: AuditHead | None = None) -> AuditVerification:
    """Recompute a chain from its rows in the order of their ids; head is what is kept apart of it.

    Each damage is found once, where it shows. A row whose content was changed has another hash; one whose hash was
    made anew to fit is not the one that the next row, or the head, names.
    """
    found = _Faults()
    last, count, seen = AuditHead(0, NO_HASH), 0, None
    is_older = head is None  # nothing is chained before the first entry of this version
    for row in rows:
        count += 1
        if row.hash is None or row.previous is None:
            if not is_older:
                found.add(row.id, "unchained", "it is in no chain: it was put there by hand")
            last = AuditHead(row.id, last.hash)
            continue
        if is_older:
            found.add(row.id, "cut", "the head, which is kept apart, is missing")
            is_older = False
        if row.id > last.id + 1:
            between = f"{last.id + 1}" if row.id == last.id + 2 else f"{last.id + 1} to {row.id - 1}"
            found.add(row.id, "missing", f"what was before it is missing: {between}")
        elif row.previous != last.hash:
            found.add(row.id, "broken", "it does not follow the entry before it")
        if audit_hash(row) != row.hash:
            found.add(row.id, "changed", "it is not what was written")
        if noted is not None and row.id == noted.id:
            seen = row.hash
        last = AuditHead(row.id, row.hash)
    if head is not None and last.id < head.id:
        found.add(head.id, "cut", f"the end is missing: entries {last.id + 1} to {head.id}")
    elif head is not None and last != head:
        found.add(last.id, "broken", "the last entry is not the one that the head names")
    if noted is not None and seen != noted.hash:
        found.add(noted.id, "other_head", "the entry that was noted elsewhere is not in this chain")
    return AuditVerification(count, head, tuple(found.listed), found.count)


class _Faults:
    """The faults found so far: the first of them, and how many."""

    def __init__(self) -> None:
        self.listed: list[AuditFault] = []
        self.count = 0

    def add(self, id_: int, kind: str, text: str) -> None:
        self.count += 1
        if len(self.listed) < FAULTS_MAX:
            self.listed.append(AuditFault(id_, kind, text))


def read_head_text(text: str) -> AuditHead | None:
    """Return the head that ``<id>:<hash in hex>`` names; None for any other text."""
    id_, _, digest = text.strip().partition(":")
    if not (id_.isascii() and id_.isdigit() and len(id_) < 19 and len(digest) == 2 * len(NO_HASH)):
        return None
    try:
        return AuditHead(int(id_), bytes.fromhex(digest))
    except ValueError:
        return None


def head_text(head: AuditHead) -> str:
    """Return a head as a person notes it."""
    return f"{head.id}:{head.hash.hex()}"
