"""Users and tokens that live in the database, and the record of who changed what.

Fails closed: every function runs inside one transaction of the owner's; a mistake raises UserError and changes nothing.
Rows are plain JSON-ready dictionaries, the same over the socket, over HTTP and on the command line.
"""

import re
import secrets
import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import ValidationError

from proxy.config.schema import UserLimits
from proxy.core.errors import TollkeeperError
from proxy.core.user_token import new_token, token_hash

_NAME = re.compile(r"[A-Za-z0-9._@+-]{1,64}")


class UserError(TollkeeperError):
    """A change that cannot be made; the text says why and what to do."""


class TooManyUsersError(UserError):
    """As many end users were made as may be."""


class MissingError(UserError):
    """No such user or token."""


def _check_name(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} cannot be the name of a {what}: 1 to 64 letters, digits, and . _ @ + - only.")


def _note(
    connection: sqlite3.Connection,
    now_ms: int,
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any],
) -> None:
    connection.execute(
        "INSERT INTO audit (ts_ms, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)",
        (now_ms, actor, action, subject, orjson.dumps(detail).decode()),
    )


def _check_settings(value: Any) -> None:
    try:
        UserLimits.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"settings.{where}: {first['msg']}. See docs/concepts/quotas.md.") from None


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


def list_users(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    return [_user(row) for row in connection.execute(_LIST_USERS)]


def find_user(connection: sqlite3.Connection, name: str) -> dict[str, Any]:
    row = connection.execute(_FIND_USER, (name,)).fetchone()
    if row is None:
        raise MissingError(f"There is no user {name!r} in the database. See: tollkeeper users list")
    return _user(row)


def add_user(
    connection: sqlite3.Connection,
    now_ms: int,
    actor: str,
    name: str,
    group: str | None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Add a user without a token. settings: limits, models, max_tokens, as in the configuration."""
    _check_name(name, "user")
    if group is not None:
        _check_name(group, "group")
    if settings is not None:
        _check_settings(settings)
    stored = orjson.dumps(settings or {}).decode()
    try:
        connection.execute(
            "INSERT INTO users (name, group_name, settings, created_ms) VALUES (?, ?, ?, ?)",
            (name, group, stored, now_ms),
        )
    except sqlite3.IntegrityError:
        raise UserError(
            f"User {name!r} exists already. Give another token with: tollkeeper tokens add {name}"
        ) from None
    detail = {"group": group} if settings is None else {"group": group, "settings": settings}
    _note(connection, now_ms, actor, "users.add", name, detail)
    return find_user(connection, name)


def stop_user(connection: sqlite3.Connection, now_ms: int, actor: str, name: str) -> dict[str, Any]:
    """Disable a user by a row in the database, made where there is none: it stops one of the configuration too."""
    _check_name(name, "user")
    connection.execute("INSERT OR IGNORE INTO users (name, created_ms) VALUES (?, ?)", (name, now_ms))
    return set_user(connection, now_ms, actor, name, {"disabled": True})


def note_end_user(
    connection: sqlite3.Connection, *, now_ms: int, name: str, token_id: str, users_max: int
) -> dict[str, Any]:
    """Return the row of an end user whom a token named, created if there is none.

    Raises TooManyUsersError where users_max were made so already. What the audit notes is no change of a limit.
    """
    _check_name(name, "user")
    row = connection.execute(_FIND_USER, (name,)).fetchone()
    if row is not None:
        return _user(row)
    count = connection.execute("SELECT count(*) FROM users WHERE made_by IS NOT NULL").fetchone()[0]
    if count >= users_max:
        raise TooManyUsersError(f"There are {count} end users already.")
    connection.execute("INSERT INTO users (name, created_ms, made_by) VALUES (?, ?, ?)", (name, now_ms, token_id))
    _note(connection, now_ms, f"token {token_id}", "end_users.add", name, {})
    return find_user(connection, name)


def set_user(
    connection: sqlite3.Connection, now_ms: int, actor: str, name: str, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Change group, disabled or settings (limits, models, max_tokens as in the configuration). What was spent stays."""
    find_user(connection, name)
    for key, value in changes.items():
        if key not in _SET_USER:
            raise UserError(f"{key!r} is not a field of a user: {', '.join(_SET_USER)}.")
        if key == "settings":
            _check_settings(value)
        stored = orjson.dumps(value).decode() if key == "settings" else int(value) if key == "disabled" else value
        connection.execute(_SET_USER[key], (stored, name))
    _note(connection, now_ms, actor, "users.set", name, changes)
    return find_user(connection, name)


def remove_user(connection: sqlite3.Connection, now_ms: int, actor: str, name: str) -> dict[str, Any]:
    """Remove a user and all tokens; what was spent stays in the ledger."""
    removed = find_user(connection, name)
    connection.execute("DELETE FROM tokens WHERE user = ?", (name,))
    connection.execute("DELETE FROM users WHERE name = ?", (name,))
    _note(connection, now_ms, actor, "users.remove", name, {})
    return removed


def list_tokens(connection: sqlite3.Connection, user: str | None = None) -> list[dict[str, Any]]:
    """List tokens without their hashes."""
    rows = connection.execute(_LIST_TOKENS, (user,))
    return [_token(row) for row in rows]


def token_hashes(connection: sqlite3.Connection) -> dict[str, str]:
    """Return token id -> hash, for the directory of the running proxy only."""
    return dict(connection.execute("SELECT id, hash FROM tokens").fetchall())


def find_token(connection: sqlite3.Connection, token_id: str) -> dict[str, Any]:
    row = connection.execute(_FIND_TOKEN, (token_id,)).fetchone()
    if row is None:
        raise MissingError(f"There is no token {token_id!r} in the database. See: tollkeeper tokens list")
    return _token(row)


def add_token(
    connection: sqlite3.Connection,
    now_ms: int,
    actor: str,
    user: str,
    name: str | None,
    expires_ms: int | None,
    *,
    trusted: bool = False,
) -> dict[str, Any]:
    """Create a token; only this answer ever holds it, under ``token``. trusted: it may name end users."""
    find_user(connection, user)
    token = new_token()
    token_id = "tok_" + secrets.token_hex(6)
    label = name or token_id
    _check_name(label, "token")
    connection.execute(
        "INSERT INTO tokens (id, hash, user, name, hint, created_ms, expires_ms, trusted)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (token_id, token_hash(token), user, label, token[-4:], now_ms, expires_ms, int(trusted)),
    )
    _note(
        connection,
        now_ms,
        actor,
        "tokens.add",
        token_id,
        {"user": user, "name": label, "expires_ms": expires_ms, "trusted": trusted},
    )
    return {**find_token(connection, token_id), "token": token}


def set_token(
    connection: sqlite3.Connection, now_ms: int, actor: str, token_id: str, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Change disabled, trusted or expires_ms."""
    find_token(connection, token_id)
    for key, value in changes.items():
        if key not in _SET_TOKEN:
            raise UserError(f"{key!r} is not a field of a token that can be changed: {', '.join(_SET_TOKEN)}.")
        connection.execute(_SET_TOKEN[key], (value if value is None else int(value), token_id))
    _note(connection, now_ms, actor, "tokens.set", token_id, changes)
    return find_token(connection, token_id)


def rotate_token(
    connection: sqlite3.Connection, now_ms: int, actor: str, token_id: str, overlap_ms: int
) -> dict[str, Any]:
    """Create a successor; the old token stays valid for overlap_ms."""
    old = find_token(connection, token_id)
    fresh = add_token(connection, now_ms, actor, old["user"], old["name"], None, trusted=old["trusted"])
    set_token(connection, now_ms, actor, token_id, {"expires_ms": now_ms + overlap_ms})
    return fresh


def remove_token(connection: sqlite3.Connection, now_ms: int, actor: str, token_id: str) -> dict[str, Any]:
    removed = find_token(connection, token_id)
    connection.execute("DELETE FROM tokens WHERE id = ?", (token_id,))
    _note(connection, now_ms, actor, "tokens.remove", token_id, {})
    return removed
