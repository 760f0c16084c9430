"""Users and tokens in their tables, and the record of who changed what.

Every change runs inside one transaction of the owner's; a mistake raises UserError and changes nothing.
"""

import secrets
import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson

from proxy.core.user_token import new_token, token_hash
from proxy.storage.audit import Actor, changed_only
from proxy.storage.sqlite.audit_log import append_audit
from proxy.storage.users import (
    TooManyUsersError,
    check_name,
    check_settings,
    check_token_changes,
    check_user_changes,
    no_token,
    no_user,
    user_exists,
)

_LIST_USERS = "SELECT name, group_name, settings, disabled, created_ms, made_by FROM users ORDER BY name"
_FIND_USER = "SELECT name, group_name, settings, disabled, created_ms, made_by FROM users WHERE name = ?"
_SET_USER = {
    "group": "UPDATE users SET group_name = ? WHERE name = ?",
    "disabled": "UPDATE users SET disabled = ? WHERE name = ?",
    "settings": "UPDATE users SET settings = ? WHERE name = ?",
}
_LIST_TOKENS = """SELECT id, user, name, hint, created_ms, expires_ms, disabled, trusted FROM tokens
    WHERE ?1 IS NULL OR user = ?1 ORDER BY user, created_ms"""
_FIND_TOKEN = "SELECT id, user, name, hint, created_ms, expires_ms, disabled, trusted FROM tokens WHERE id = ?"  # noqa: S105 - SQL, no password
_SET_TOKEN = {
    "disabled": "UPDATE tokens SET disabled = ? WHERE id = ?",
    "expires_ms": "UPDATE tokens SET expires_ms = ? WHERE id = ?",
    "trusted": "UPDATE tokens SET trusted = ? WHERE id = ?",
}
_TOKEN_COLUMNS = ("id", "user", "name", "hint", "created_ms", "expires_ms", "disabled", "trusted")


def _user(row: tuple[Any, ...]) -> dict[str, Any]:
    name, group, settings, disabled, created_ms, made_by = row
    return {
        "name": name,
        "group": group,
        "settings": orjson.loads(settings),
        "disabled": bool(disabled),
        "created_ms": created_ms,
        "made_by": made_by,
        "source": "database",
    }


def _token(row: tuple[Any, ...]) -> dict[str, Any]:
    found = dict(zip(_TOKEN_COLUMNS, row, strict=True))
    flags = {"disabled": bool(found["disabled"]), "trusted": bool(found["trusted"])}
    return {**found, **flags, "source": "database"}


def _state_of(user: Mapping[str, Any]) -> dict[str, Any]:
    return {name: user[name] for name in ("group", "settings", "disabled")}


class SqliteUsers:
    """Users and tokens on one connection; a UserStore where the connection can write."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def list_users(self) -> list[dict[str, Any]]:
        return [_user(row) for row in self._connection.execute(_LIST_USERS)]

    def find_user(self, name: str) -> dict[str, Any]:
        row = self._connection.execute(_FIND_USER, (name,)).fetchone()
        if row is None:
            raise no_user(name)
        return _user(row)

    def add_user(
        self,
        now_ms: int,
        actor: Actor,
        name: str,
        group: str | None,
        settings: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Add a user without a token. settings: limits, models, max_tokens, as in the configuration."""
        check_name(name, "user")
        if group is not None:
            check_name(group, "group")
        if settings is not None:
            check_settings(settings)
        stored = orjson.dumps(settings or {}).decode()
        try:
            self._connection.execute(
                "INSERT INTO users (name, group_name, settings, created_ms) VALUES (?, ?, ?, ?)",
                (name, group, stored, now_ms),
            )
        except sqlite3.IntegrityError:
            raise user_exists(name) from None
        made = self.find_user(name)
        append_audit(self._connection, now_ms, actor, "users.add", name, None, _state_of(made))
        return made

    def stop_user(self, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
        """Disable a user by a row in the database, made where there is none: it stops one of the configuration too."""
        self.take_up_user(now_ms, name)
        return self.set_user(now_ms, actor, name, {"disabled": True})

    def take_up_user(self, now_ms: int, name: str) -> None:
        """Make a row for a user of the configuration, where there is none."""
        check_name(name, "user")
        self._connection.execute("INSERT OR IGNORE INTO users (name, created_ms) VALUES (?, ?)", (name, now_ms))

    def add_end_user(self, *, now_ms: int, name: str, token_id: str, users_max: int) -> dict[str, Any]:
        """Return the row of an end user whom a token named, created if there is none.

        Raises TooManyUsersError where users_max were made so already. What the audit notes is no change of a limit.
        """
        check_name(name, "user")
        row = self._connection.execute(_FIND_USER, (name,)).fetchone()
        if row is not None:
            return _user(row)
        count = self._connection.execute("SELECT count(*) FROM users WHERE made_by IS NOT NULL").fetchone()[0]
        if count >= users_max:
            raise TooManyUsersError(f"There are {count} end users already.")
        self._connection.execute(
            "INSERT INTO users (name, created_ms, made_by) VALUES (?, ?, ?)", (name, now_ms, token_id)
        )
        by = Actor(f"token {token_id}", "request")
        append_audit(self._connection, now_ms, by, "end_users.add", name, None, {"made_by": token_id})
        return self.find_user(name)

    def set_user(self, now_ms: int, actor: Actor, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change group, disabled or settings (limits, models, max_tokens as configured). What was spent stays."""
        old = self.find_user(name)
        check_user_changes(changes)
        for key, value in changes.items():
            stored = orjson.dumps(value).decode() if key == "settings" else int(value) if key == "disabled" else value
            self._connection.execute(_SET_USER[key], (stored, name))
        fresh = self.find_user(name)
        before, after = changed_only(old, fresh)
        append_audit(self._connection, now_ms, actor, "users.set", name, before, after)
        return fresh

    def remove_user(self, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
        """Remove a user and all tokens; what was spent stays in the ledger."""
        removed = self.find_user(name)
        before = {**_state_of(removed), "tokens": [token["id"] for token in self.list_tokens(name)]}
        self._connection.execute("DELETE FROM tokens WHERE user = ?", (name,))
        self._connection.execute("DELETE FROM preferences WHERE user = ?", (name,))
        self._connection.execute("DELETE FROM users WHERE name = ?", (name,))
        append_audit(self._connection, now_ms, actor, "users.remove", name, before, None)
        return removed

    def list_tokens(self, user: str | None = None) -> list[dict[str, Any]]:
        """List tokens without their hashes."""
        rows = self._connection.execute(_LIST_TOKENS, (user,))
        return [_token(row) for row in rows]

    def token_hashes(self) -> dict[str, str]:
        """Return token id -> hash, for the directory of the running proxy only."""
        return dict(self._connection.execute("SELECT id, hash FROM tokens").fetchall())

    def find_token(self, token_id: str) -> dict[str, Any]:
        row = self._connection.execute(_FIND_TOKEN, (token_id,)).fetchone()
        if row is None:
            raise no_token(token_id)
        return _token(row)

    def _token_state(self, token_id: str) -> dict[str, Any]:
        """Return what the audit trail keeps of a token: of the token itself its SHA-256, as its 256 bits are random."""
        found = self.find_token(token_id)
        known = {name: found[name] for name in ("user", "name", "expires_ms", "disabled", "trusted")}
        return {**known, "sha256": self.token_hashes()[token_id]}

    def add_token(
        self,
        now_ms: int,
        actor: Actor,
        user: str,
        name: str | None,
        expires_ms: int | None,
        *,
        trusted: bool = False,
    ) -> dict[str, Any]:
        """Create a token; only this answer ever holds it, under ``token``. trusted: it may name end users."""
        self.find_user(user)
        token = new_token()
        token_id = "tok_" + secrets.token_hex(6)
        label = name or token_id
        check_name(label, "token")
        self._connection.execute(
            "INSERT INTO tokens (id, hash, user, name, hint, created_ms, expires_ms, trusted)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (token_id, token_hash(token), user, label, token[-4:], now_ms, expires_ms, int(trusted)),
        )
        after = self._token_state(token_id)
        append_audit(self._connection, now_ms, actor, "tokens.add", token_id, None, after)
        return {**self.find_token(token_id), "token": token}

    def set_token(self, now_ms: int, actor: Actor, token_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change disabled, trusted or expires_ms."""
        old = self.find_token(token_id)
        check_token_changes(changes)
        for key, value in changes.items():
            self._connection.execute(_SET_TOKEN[key], (value if value is None else int(value), token_id))
        fresh = self.find_token(token_id)
        before, after = changed_only(old, fresh)
        append_audit(self._connection, now_ms, actor, "tokens.set", token_id, before, after)
        return fresh

    def rotate_token(self, now_ms: int, actor: Actor, token_id: str, overlap_ms: int) -> dict[str, Any]:
        """Create a successor; the old token stays valid for overlap_ms."""
        old = self.find_token(token_id)
        fresh = self.add_token(now_ms, actor, old["user"], old["name"], None, trusted=old["trusted"])
        self.set_token(now_ms, actor, token_id, {"expires_ms": now_ms + overlap_ms})
        return fresh

    def remove_token(self, now_ms: int, actor: Actor, token_id: str) -> dict[str, Any]:
        removed = self.find_token(token_id)
        before = self._token_state(token_id)
        self._connection.execute("DELETE FROM tokens WHERE id = ?", (token_id,))
        append_audit(self._connection, now_ms, actor, "tokens.remove", token_id, before, None)
        return removed
