"""Operators in their table."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from proxy.core.user_token import OPERATOR_PREFIX, new_token, token_hash
from proxy.storage.audit import Actor, changed_only
from proxy.storage.operators import check_operator_changes, check_operator_name, no_operator, operator_exists
from proxy.storage.sqlite.audit_log import append_audit

_COLUMNS = ("name", "role", "hint", "created_ms", "rotated_ms", "expires_ms", "disabled")
_LIST = f"SELECT {', '.join(_COLUMNS)} FROM operators ORDER BY name"  # noqa: S608 - the names stand in the line above
_FIND = f"SELECT {', '.join(_COLUMNS)}, hash FROM operators WHERE name = ?"  # noqa: S608
_ADD = "INSERT INTO operators (name, role, hash, hint, created_ms, expires_ms) VALUES (?, ?, ?, ?, ?, ?)"
_SET = {
    "role": "UPDATE operators SET role = ? WHERE name = ?",
    "expires_ms": "UPDATE operators SET expires_ms = ? WHERE name = ?",
    "disabled": "UPDATE operators SET disabled = ? WHERE name = ?",
}
_ROTATE = "UPDATE operators SET hash = ?, hint = ?, rotated_ms = ? WHERE name = ?"


class SqliteOperators:
    """Operators on one connection; an OperatorStore where the connection can write."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def list_operators(self) -> list[dict[str, Any]]:
        return [_row(found) for found in self._connection.execute(_LIST)]

    def operator_hashes(self) -> dict[str, str]:
        """Return the hash of each operator's token by their name; for the running proxy only."""
        return dict(self._connection.execute("SELECT name, hash FROM operators").fetchall())

    def _find(self, name: str) -> tuple[dict[str, Any], str]:
        """Return an operator and the hash of their token."""
        found = self._connection.execute(_FIND, (name,)).fetchone()
        if found is None:
            raise no_operator(name)
        return _row(found[:-1]), found[-1]

    def add_operator(self, now_ms: int, actor: Actor, name: str, role: str, expires_ms: int | None) -> dict[str, Any]:
        check_operator_name(name)
        check_operator_changes(now_ms, {"role": role, "expires_ms": expires_ms})
        token = new_token(OPERATOR_PREFIX)
        try:
            self._connection.execute(_ADD, (name, role, token_hash(token), token[-4:], now_ms, expires_ms))
        except sqlite3.IntegrityError:
            raise operator_exists(name) from None
        made, hash_ = self._find(name)
        append_audit(self._connection, now_ms, actor, "operators.add", name, None, _state(made, hash_))
        return {**made, "token": token}

    def set_operator(self, now_ms: int, actor: Actor, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        before, _ = self._find(name)
        check_operator_changes(now_ms, changes)
        for key, value in changes.items():
            self._connection.execute(_SET[key], (int(value) if key == "disabled" else value, name))
        after, _ = self._find(name)
        append_audit(self._connection, now_ms, actor, "operators.set", name, *changed_only(before, after))
        return after

    def rotate_operator(self, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
        _, old = self._find(name)
        token = new_token(OPERATOR_PREFIX)
        self._connection.execute(_ROTATE, (token_hash(token), token[-4:], now_ms, name))
        after, new = self._find(name)
        append_audit(self._connection, now_ms, actor, "operators.rotate", name, {"hash": old}, {"hash": new})
        return {**after, "token": token}

    def remove_operator(self, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
        removed, hash_ = self._find(name)
        self._connection.execute("DELETE FROM operators WHERE name = ?", (name,))
        append_audit(self._connection, now_ms, actor, "operators.remove", name, _state(removed, hash_), None)
        return removed


def _row(found: tuple[Any, ...]) -> dict[str, Any]:
    row = dict(zip(_COLUMNS, found, strict=True))
    return {**row, "disabled": bool(row["disabled"])}


def _state(row: Mapping[str, Any], hash_: str) -> dict[str, Any]:
    return {"role": row["role"], "expires_ms": row["expires_ms"], "disabled": row["disabled"], "hash": hash_}
