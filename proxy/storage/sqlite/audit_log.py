"""The audit trail in its table: every change appends its entry in the transaction of the change itself."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from proxy.core.glob import sql_glob
from proxy.storage.audit import (
    NO_HASH,
    Actor,
    AuditFilter,
    AuditHead,
    AuditRow,
    AuditVerification,
    audit_hash,
    audit_text,
    verify_chain,
)

_APPEND = "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UNCHAINED = "SELECT * FROM audit WHERE hash IS NULL ORDER BY id"
_CHAIN = "UPDATE audit SET previous = ?, hash = ? WHERE id = ?"
_ALL = "SELECT * FROM audit ORDER BY id"
_LIST = """SELECT * FROM audit
    WHERE (?1 IS NULL OR ts_ms >= ?1) AND (?2 IS NULL OR ts_ms < ?2) AND (?3 IS NULL OR actor = ?3)
    AND (?4 IS NULL OR action GLOB ?4) AND (?5 IS NULL OR subject = ?5) AND (?6 IS NULL OR id < ?6)
    ORDER BY id DESC LIMIT ?7"""
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
    id_ = max(head.id, connection.execute(_LAST_ID).fetchone()[0]) + 1
    texts = audit_text(before), audit_text(after)
    row = AuditRow(id_, now_ms, actor.name, actor.source, action, subject, *texts, head.hash, None)
    digest = audit_hash(row)
    connection.execute(_APPEND, row._replace(hash=digest))
    connection.execute(_SET_HEAD, (f"{id_} {digest.hex()}",))


def read_head(connection: sqlite3.Connection) -> AuditHead | None:
    """Return the id and the hash of the last entry that was written; None before the first."""
    found = connection.execute(_HEAD).fetchone()
    if found is None:
        return None
    id_, _, digest = found[0].partition(" ")
    try:
        return AuditHead(int(id_), bytes.fromhex(digest))
    except ValueError:  # by somebody's hand: what follows does not fit, and the verification says so
        return AuditHead(0, NO_HASH)


def _take_up(connection: sqlite3.Connection) -> AuditHead:
    """Chain the entries of earlier versions, which had no hashes; return the id and hash of the last."""
    last = AuditHead(0, NO_HASH)
    for found in connection.execute(_UNCHAINED).fetchall():
        row = AuditRow(*found)._replace(previous=last.hash)
        last = AuditHead(row.id, audit_hash(row))
        connection.execute(_CHAIN, (row.previous, last.hash, row.id))
    return last


def list_entries(
    connection: sqlite3.Connection, wanted: AuditFilter, before_id: int | None, count: int
) -> list[AuditRow]:
    """Return entries, the newest first."""
    if wanted.action is not None:
        wanted = wanted._replace(action=sql_glob(wanted.action))
    return [AuditRow(*row) for row in connection.execute(_LIST, (*wanted, before_id, count))]


def verify(connection: sqlite3.Connection, noted: AuditHead | None) -> AuditVerification:
    """Recompute the whole chain; the connection has a transaction open, so that rows and head are of one moment."""
    return verify_chain(map(AuditRow._make, connection.execute(_ALL)), read_head(connection), noted)


class SqliteAuditLog:
    """The audit trail on the owner's connection; an AuditStore."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def note(
        self,
        now_ms: int,
        actor: Actor,
        action: str,
        subject: str,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        append_audit(self._connection, now_ms, actor, action, subject, before, after)
