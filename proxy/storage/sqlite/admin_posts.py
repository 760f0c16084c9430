"""POSTs to the operator's API in their table: the claim of a key is on disk with the change that it stands for."""

import sqlite3

from proxy.storage.admin_posts import KEPT_MS, PostClaim, StoredPost

_FORGET = "DELETE FROM admin_posts WHERE at_ms <= ?"
_CLAIM = """
INSERT INTO admin_posts (key_hash, body_hash, at_ms) VALUES (?, ?, ?)
ON CONFLICT (key_hash) DO UPDATE SET
    body_hash = excluded.body_hash, at_ms = excluded.at_ms, status = NULL, answer = NULL
"""
_ANSWER = "UPDATE admin_posts SET status = ?, answer = ? WHERE key_hash = ?"
_FIND = "SELECT body_hash, at_ms, status, answer FROM admin_posts WHERE key_hash = ? AND at_ms > ?"


def claim_post(connection: sqlite3.Connection, claim: PostClaim, now_ms: int) -> None:
    """Write that a POST is done, in the transaction of its change; forget those older than a day."""
    connection.execute(_FORGET, (now_ms - KEPT_MS,))
    connection.execute(_CLAIM, (*claim, now_ms))


def keep_answer(
    connection: sqlite3.Connection, claim: PostClaim, now_ms: int, status: int | None, answer: bytes | None
) -> None:
    """Write what a POST was answered; one that changed nothing is claimed here."""
    found = find_post(connection, claim.key_hash, now_ms)
    if found is None or found.body_hash != claim.body_hash:
        claim_post(connection, claim, now_ms)
    connection.execute(_ANSWER, (status, answer, claim.key_hash))


def find_post(connection: sqlite3.Connection, key_hash: bytes, now_ms: int) -> StoredPost | None:
    """Return the POST of the last day that had a key."""
    row = connection.execute(_FIND, (key_hash, now_ms - KEPT_MS)).fetchone()
    return None if row is None else StoredPost(*row)
