"""The audit trail in its table: every change appends its entry in the transaction of the change itself."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from proxy.storage.audit import NO_HASH, Actor, AuditRow, audit_hash, audit_text

_APPEND = "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UNCHAINED = "SELECT * FROM audit WHERE hash IS NULL ORDER BY id"
_CHAIN = "UPDATE audit SET previous = ?, hash = ? WHERE id = ?"
_LAST_ID = "SELECT ifnull(max(id), 0) FROM audit"
_HEAD = "SELECT value FROM meta WHERE name = 'audit_head'"
_SET_HEAD = (
    "INSERT INTO meta VALUES ('audit_head', ?) ON CONFLICT DO UPDATE SET value = excluded.value"  # "<id> <hash in hex>"
)


def append_audit(
    connection: sqlite3.Connection,
    now_ms: int,
    actor: Actor,
    action: str,
    subject: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    """Append one entry; called within the transaction of the change that it tells of.

    action: "<noun>.<verb>", as "users.set". before and after: the state of the thing, or of the fields that changed;
    None where there was, or is, no such thing. They hold no secret but as SHA-256, and no prompt or answer.
    """
    head = read_head(connection) or _take_up(connection)
    # Never what the last row says: where rows were cut off or added by hand, the chain goes on from the head, so that
    # the damage stays to be found. Whatever happened to the table, no change is stopped by it.
    id_ = max(head[0], connection.execute(_LAST_ID).fetchone()[0]) + 1
    texts = audit_text(before), audit_text(after)
    row = AuditRow(id_, now_ms, actor.name, actor.source, action, subject, *texts, head[1], b"")
    row = row._replace(hash=audit_hash(row))
    connection.execute(_APPEND, row)
    connection.execute(_SET_HEAD, (f"{id_} {row.hash.hex()}",))


def read_head(connection: sqlite3.Connection) -> tuple[int, bytes] | None:
    """Return the id and the hash of the last entry that was written; None before the first."""
    found = connection.execute(_HEAD).fetchone()
    if found is None:
        return None
    id_, _, digest = found[0].partition(" ")
    try:
        return int(id_), bytes.fromhex(digest)
    except ValueError:  # by somebody's hand: what follows does not fit, and the verification says so
        return 0, NO_HASH


def _take_up(connection: sqlite3.Connection) -> tuple[int, bytes]:
    """Chain the entries of earlier versions, which had no hashes; return the id and hash of the last."""
    last = 0, NO_HASH
    for found in connection.execute(_UNCHAINED).fetchall():
        row = AuditRow(*found)._replace(previous=last[1])
        last = row.id, audit_hash(row)
        connection.execute(_CHAIN, (row.previous, last[1], row.id))
    return last
