"""All that an operator can ask for or change, by name: the one list for the socket, /admin/v1 and the command line."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from proxy.storage.audit import Actor
from proxy.storage.sealed import SealedStore
from proxy.storage.users import UserError, UserReader, UserStore

Fields = Mapping[str, Any]


class Stores(Protocol):
    """Everything that an operator changes, by noun."""

    @property
    def users(self) -> UserStore: ...
    @property
    def sealed(self) -> SealedStore: ...


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise UserError(f"{name}: a text is needed.")
    return value


def _optional_text(fields: Mapping[str, Any], name: str) -> str | None:
    return None if fields.get(name) is None else _text(fields, name)


def _optional_ms(fields: Mapping[str, Any], name: str) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not int or value < 0:
        raise UserError(f"{name}: whole milliseconds are needed.")
    return value


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise UserError(f"{name}: true or false is needed.")
    return value


def _settings(fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
    value = fields.get("settings")
    if value is not None and not isinstance(value, dict):
        raise UserError("settings: an object is needed.")
    return value


def _changes(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    value = fields.get("changes")
    if not isinstance(value, dict) or not value:
        raise UserError("changes: an object with at least one field is needed.")
    if not isinstance(value.get("disabled", False), bool):
        raise UserError("disabled: true or false is needed.")
    if not isinstance(value.get("trusted", False), bool):
        raise UserError("trusted: true or false is needed.")
    if not isinstance(value.get("settings", {}), dict):
        raise UserError("settings: an object is needed.")
    if not isinstance(value.get("group"), str | None):
        raise UserError("group: a text or null is needed.")
    if "expires_ms" in value:
        _optional_ms(value, "expires_ms")
    return value


# what only reads: beside the writer, and what is in force stays as it is
READS: Mapping[str, Callable[[UserReader, Fields], Any]] = {
    "users.list": lambda users, _f: users.list_users(),
    "users.show": lambda users, f: users.find_user(_text(f, "name")),
    "tokens.list": lambda users, f: users.list_tokens(_optional_text(f, "user")),
}
# what changes something: all of it in one transaction, with its entry in the audit trail
CHANGES: Mapping[str, Callable[[Stores, int, Actor, Fields], Any]] = {
    "users.add": lambda stores, now, who, f: stores.users.add_user(
        now, who, _text(f, "name"), _optional_text(f, "group"), _settings(f)
    ),
    "users.stop": lambda stores, now, who, f: stores.users.stop_user(now, who, _text(f, "name")),
    "users.set": lambda stores, now, who, f: stores.users.set_user(now, who, _text(f, "name"), _changes(f)),
    "users.remove": lambda stores, now, who, f: stores.users.remove_user(now, who, _text(f, "name")),
    "tokens.add": lambda stores, now, who, f: stores.users.add_token(
        now,
        who,
        _text(f, "user"),
        _optional_text(f, "name"),
        _optional_ms(f, "expires_ms"),
        trusted=_flag(f, "trusted"),
    ),
    "tokens.set": lambda stores, now, who, f: stores.users.set_token(now, who, _text(f, "id"), _changes(f)),
    "tokens.rotate": lambda stores, now, who, f: stores.users.rotate_token(
        now, who, _text(f, "id"), _optional_ms(f, "overlap_ms") or 0
    ),
    "tokens.remove": lambda stores, now, who, f: stores.users.remove_token(now, who, _text(f, "id")),
}
OPERATIONS = (*READS, *CHANGES)
