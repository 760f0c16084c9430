"""Who changed what, when, from where: the entries of the audit trail, and how each is chained to the one before it.

An entry's hash covers all of it and the hash before it, so that a row which somebody changed, removed, inserted or
moved no longer fits. Secrets never stand in an entry, only their SHA-256, and only of what nobody can guess.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

NO_HASH = bytes(32)  # stands before the first entry


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something, as they were authenticated.

    source: "socket", "tcp 10.0.0.7", "command line", "request" (of a client), "file", "proxy" (by itself).
    """

    name: str
    source: str


PROXY = Actor("proxy", "proxy")  # what changes by itself


class AuditRow(NamedTuple):
    """One entry as it is stored; before and after are JSON objects as text, None where there is nothing."""

    id: int
    ts_ms: int
    actor: str
    source: str
    action: str
    subject: str
    before: str | None
    after: str | None
    previous: bytes
    hash: bytes


def audit_text(value: Mapping[str, Any] | None) -> str | None:
    """Return what an entry stores of a state: JSON with sorted names."""
    return None if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def audit_hash(row: AuditRow) -> bytes:
    """Return the SHA-256 of an entry and of the hash before it; row.hash itself takes no part."""
    fields = (str(row.id), str(row.ts_ms), row.actor, row.source, row.action, row.subject, row.before, row.after)
    digest = hashlib.sha256(row.previous)
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
