"""Providers' keys in their table, without the keys themselves. Changes run inside a transaction of the owner's."""

import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson

from proxy.policy.sealing.place import Place
from proxy.policy.sealing.record import UnsealError
from proxy.storage.audit import Actor, changed_only
from proxy.storage.master_keys import MasterKeys
from proxy.storage.provider_keys import TABLE, Row, SealedHashes, key_id, place_of
from proxy.storage.sealed import Opened
from proxy.storage.sqlite.audit_log import append_audit
from proxy.storage.sqlite.sealed_values import read_sealed_values
from proxy.storage.stored_settings import SettingsError, check_key_settings

_COLUMNS = "provider, name, user, group_name, hint, settings, disabled, created_ms, rotated_ms"
_LIST = f"SELECT {_COLUMNS} FROM provider_keys ORDER BY provider, name"  # noqa: S608 - names of columns
_FIND = f"SELECT {_COLUMNS} FROM provider_keys WHERE provider = ? AND name = ?"  # noqa: S608 - as above
_PUT = f"INSERT OR REPLACE INTO provider_keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - as above
_REMOVE = "DELETE FROM provider_keys WHERE provider = ? AND name = ?"
_MISSING = "nothing is sealed for it"


def _key(row: tuple[Any, ...]) -> dict[str, Any]:
    provider, name, user, group, hint, settings, disabled, created_ms, rotated_ms = row
    return {
        "provider": provider,
        "name": name,
        "user": user,
        "group": group,
        "hint": hint,
        "settings": _settings(settings),
        "disabled": bool(disabled),
        "created_ms": created_ms,
        "rotated_ms": rotated_ms,
    }


def _settings(text: str) -> dict[str, Any]:
    """Return the settings of a row; text that is not JSON, by somebody's hand, becomes a setting that no key has."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    return found if isinstance(found, dict) else {"not JSON": text}


def _told(row: Row, sealed_sha256: str | None) -> dict[str, Any]:
    """Return what the audit trail keeps of a row."""
    names = ("user", "group", "settings", "disabled", "rotated_ms")
    return {**{name: row[name] for name in names}, "sealed_sha256": sealed_sha256}


def read_opened_keys(connection: sqlite3.Connection, master: MasterKeys) -> list[dict[str, Any]]:
    """Return all keys, each with its secret, or with the problem why it does not open: for the running proxy only."""
    rows = SqliteProviderKeys(connection).list_keys()
    values = read_sealed_values(connection, TABLE, master) if rows else {}
    return [_opened(row, values) for row in rows]


def _opened(row: dict[str, Any], values: Mapping[Place, Opened]) -> dict[str, Any]:
    try:
        check_key_settings(row["settings"])
    except SettingsError as error:
        return {**row, "settings": {}, "secret": None, "problem": f"its settings cannot be read: {error}"}
    value = None if row["hint"] is None else values.get(place_of(row), UnsealError("malformed", _MISSING))
    if isinstance(value, UnsealError):
        return {**row, "secret": None, "problem": str(value)}
    return {**row, "secret": value, "problem": None}


class SqliteProviderKeys:
    """The rows on one connection; a ProviderKeyStore where the connection can write."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def list_keys(self) -> list[dict[str, Any]]:
        return [_key(row) for row in self._connection.execute(_LIST)]

    def find_key(self, provider: str, name: str) -> dict[str, Any] | None:
        row = self._connection.execute(_FIND, (provider, name)).fetchone()
        return None if row is None else _key(row)

    def put_key(self, now_ms: int, actor: Actor, action: str, row: Row, hashes: SealedHashes) -> None:
        old = self.find_key(row["provider"], row["name"])
        values = (row["provider"], row["name"], row["user"], row["group"], row["hint"])
        settings = orjson.dumps(row["settings"]).decode()
        more = (settings, int(row["disabled"]), row["created_ms"], row["rotated_ms"])
        self._connection.execute(_PUT, (*values, *more))
        told = _told(row, hashes.after)
        before, after = (None, told) if old is None else changed_only(_told(old, hashes.before), told)
        subject = key_id(row["provider"], row["name"])
        append_audit(self._connection, now_ms, actor, action, subject, before, after)

    def remove_key(self, now_ms: int, actor: Actor, row: Row) -> None:
        self._connection.execute(_REMOVE, (row["provider"], row["name"]))
        action = "keys.enable" if row["hint"] is None else "keys.remove"
        subject = key_id(row["provider"], row["name"])
        append_audit(self._connection, now_ms, actor, action, subject, _told(row, None), None)
