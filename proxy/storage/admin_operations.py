"""All that an operator can ask for or change, by name: the one list for the socket, /admin/v1 and the command line."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from proxy.core.secret import Secret
from proxy.storage.alert_changes import add_destination, remove_destination, set_destination
from proxy.storage.alerts import AlertStore
from proxy.storage.audit import Actor, AuditStore
from proxy.storage.configurations import ConfigurationStore
from proxy.storage.groups import GroupStore
from proxy.storage.key_changes import add_key, remove_key, remove_own_keys, rotate_key, set_key, stop_key
from proxy.storage.limit_changes import add_limit, remove_limit, set_limit
from proxy.storage.limits import LimitPlace, LimitStore, read_limit, read_scope
from proxy.storage.master_key_store import MasterKeyStore
from proxy.storage.models import ModelStore
from proxy.storage.operators import OperatorStore
from proxy.storage.preferences import PreferenceStore
from proxy.storage.provider_keys import ProviderKeyStore
from proxy.storage.sealed import SealedStore
from proxy.storage.sessions import SessionStore, read_session
from proxy.storage.stops import StopStore, read_stop
from proxy.storage.stored_settings import patched
from proxy.storage.users import UserError, UserReader, UserStore

Fields = Mapping[str, Any]


class Stores(Protocol):
    """Everything that an operator changes, by noun."""

    @property
    def users(self) -> UserStore: ...

    @property
    def sealed(self) -> SealedStore: ...

    @property
    def keys(self) -> ProviderKeyStore: ...

    @property
    def master_key(self) -> MasterKeyStore: ...

    @property
    def groups(self) -> GroupStore: ...

    @property
    def limits(self) -> LimitStore: ...

    @property
    def operators(self) -> OperatorStore: ...

    @property
    def configurations(self) -> ConfigurationStore: ...
    @property
    def preferences(self) -> PreferenceStore: ...

    @property
    def models(self) -> ModelStore: ...

    @property
    def stops(self) -> StopStore: ...

    @property
    def sessions(self) -> SessionStore: ...

    @property
    def audit(self) -> AuditStore: ...

    @property
    def alerts(self) -> AlertStore: ...


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


def _object(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = fields.get(name)
    if not isinstance(value, dict):
        raise UserError(f"{name}: an object is needed.")
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
Change = Callable[[Stores, int, Actor, Fields], Any]
# what POST /admin/v1/<noun>/<verb> changes: a contract that has all it will ever have
CALLS: Mapping[str, Change] = {
    "users.add": lambda stores, now, who, f: stores.users.add_user(
        now, who, _text(f, "name"), _optional_text(f, "group"), _settings(f)
    ),
    "users.stop": lambda stores, now, who, f: stores.users.stop_user(now, who, _text(f, "name")),
    "users.set": lambda stores, now, who, f: stores.users.set_user(now, who, _text(f, "name"), _changes(f)),
    "users.remove": lambda stores, now, who, f: _remove_user(stores, now, who, _text(f, "name")),
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
OPERATIONS = (*READS, *CALLS)


def _remove_user(stores: Stores, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
    """Remove a user with all that is theirs alone."""
    removed = stores.users.remove_user(now_ms, actor, name)
    remove_own_keys(stores, now_ms, actor, user=name)
    return removed


def _remove_group(stores: Stores, now_ms: int, actor: Actor, name: str, *, is_configured: bool) -> dict[str, Any]:
    """Remove a group; its own keys stay where the configuration has the group too."""
    removed = stores.groups.remove_group(now_ms, actor, name, is_configured=is_configured)
    if not is_configured:
        remove_own_keys(stores, now_ms, actor, group=name)
    return removed


def _create_user(stores: Stores, now_ms: int, actor: Actor, fields: Fields) -> dict[str, Any]:
    """Add a user, and a first token where one is wanted: both or neither."""
    user = CALLS["users.add"](stores, now_ms, actor, fields)
    token = fields.get("token")
    made = None if token is None else CALLS["tokens.add"](stores, now_ms, actor, {**token, "user": user["name"]})
    return {"user": user, "token": made}


def _patch_user(stores: Stores, now_ms: int, actor: Actor, fields: Fields) -> dict[str, Any]:
    """Change what is given of a user; a setting that is None is removed. is_configured: the file has the user too."""
    users, name, changes = stores.users, _text(fields, "name"), dict(_changes(fields))
    if _flag(fields, "is_configured"):
        users.take_up_user(now_ms, name)
    if "settings" in changes:
        changes["settings"] = patched(users.find_user(name)["settings"], changes["settings"])
    return users.set_user(now_ms, actor, name, changes)


def _create_token(stores: Stores, now_ms: int, actor: Actor, fields: Fields) -> dict[str, Any]:
    """Make a token. is_configured: its user is one of the configuration, who may have no row yet."""
    if _flag(fields, "is_configured"):
        stores.users.take_up_user(now_ms, _text(fields, "user"))
    made: dict[str, Any] = CALLS["tokens.add"](stores, now_ms, actor, fields)
    return made


def _place(fields: Fields) -> LimitPlace:
    return LimitPlace(read_scope(fields.get("scope"), fields.get("name")), tuple(fields["place"]))


def _secret(fields: Fields) -> Secret:
    value = fields.get("secret")
    if not isinstance(value, Secret):
        raise UserError("secret: a key is needed.")
    return value


def _key(fields: Fields) -> tuple[str, str]:
    return _text(fields, "provider"), _text(fields, "name")


# what changes something: all of it in one transaction, with its entry in the audit trail
CHANGES: Mapping[str, Change] = {
    **CALLS,
    "users.create": _create_user,
    "users.patch": _patch_user,
    "tokens.create": _create_token,
    "groups.add": lambda stores, now, who, f: stores.groups.add_group(now, who, _text(f, "name"), _settings(f) or {}),
    "groups.set": lambda stores, now, who, f: stores.groups.set_group(now, who, _text(f, "name"), _settings(f) or {}),
    "groups.remove": lambda stores, now, who, f: _remove_group(
        stores, now, who, _text(f, "name"), is_configured=_flag(f, "is_configured")
    ),
    "master_key.make": lambda stores, now, who, _f: stores.master_key.make(now, who),
    "master_key.import": lambda stores, now, who, f: stores.master_key.bring_back(
        now, who, f["ring"], replace=_flag(f, "replace")
    ),
    "master_key.export": lambda stores, now, who, _f: stores.master_key.export(now, who),
    "master_key.begin_rotation": lambda stores, now, who, f: stores.master_key.begin_rotation(
        now, who, resume=_flag(f, "resume"), forget=_flag(f, "forget")
    ),
    "master_key.reseal": lambda stores, _now, _who, f: stores.master_key.reseal(f["after_id"]),
    "master_key.end_rotation": lambda stores, now, who, f: stores.master_key.end_rotation(
        now, who, forget=_flag(f, "forget")
    ),
    "keys.add": lambda stores, now, who, f: add_key(
        stores,
        now,
        who,
        {"provider": _text(f, "provider"), "name": _text(f, "name"), "user": f.get("user"), "group": f.get("group")},
        _secret(f),
        _settings(f) or {},
    ),
    "keys.set": lambda stores, now, who, f: set_key(
        stores, now, who, *_key(f), patch=_settings(f) or {}, disabled=f.get("disabled")
    ),
    "keys.rotate": lambda stores, now, who, f: rotate_key(stores, now, who, *_key(f), _secret(f)),
    "keys.stop": lambda stores, now, who, f: stop_key(stores, now, who, *_key(f), stopped=_flag(f, "stopped")),
    "keys.remove": lambda stores, now, who, f: remove_key(stores, now, who, *_key(f)),
    "limits.add": lambda stores, now, who, f: add_limit(
        stores,
        now,
        who,
        read_scope(f.get("scope"), f.get("name")),
        read_limit(f.get("kind"), f.get("limit")),
        is_configured=_flag(f, "is_configured"),
    ),
    "limits.set": lambda stores, now, who, f: set_limit(
        stores, now, who, _place(f), read_limit(f.get("kind"), f.get("limit"))
    ),
    "limits.remove": lambda stores, now, who, f: remove_limit(stores, now, who, _place(f)),
    "configuration.keep": lambda stores, now, who, f: stores.configurations.keep_configuration(now, who, f),
    "operators.add": lambda stores, now, who, f: stores.operators.add_operator(
        now, who, _text(f, "name"), _text(f, "role"), _optional_ms(f, "expires_ms")
    ),
    "operators.set": lambda stores, now, who, f: stores.operators.set_operator(now, who, _text(f, "name"), _changes(f)),
    "operators.rotate": lambda stores, now, who, f: stores.operators.rotate_operator(now, who, _text(f, "name")),
    "operators.remove": lambda stores, now, who, f: stores.operators.remove_operator(now, who, _text(f, "name")),
    # asked for by the part alone that puts stops in force
    "stops.add": lambda stores, now, who, f: stores.stops.add_stop(now, who, read_stop(f, now, who)),
    "stops.end": lambda stores, now, who, f: stores.stops.end_stop(now, who, _text(f, "id")),
    # asked for by the part alone that knows who is logged in
    "sessions.add": lambda stores, now, who, f: stores.sessions.add_session(
        now, who, read_session(_object(f, "session")), _text(f, "cookie")
    ),
    "sessions.end": lambda stores, now, who, f: stores.sessions.end_session(
        now, who, _text(f, "id"), _text(f, "reason")
    ),
    # what happened that is no change of a row: the proxy itself notes it
    "audit.note": lambda stores, now, who, f: stores.audit.note(
        now, who, _text(f, "action"), _text(f, "subject"), f.get("before"), f.get("after")
    ),
    "preferences.set": lambda stores, now, who, f: stores.preferences.set_preferences(
        now, who, _text(f, "user"), _object(f, "settings")
    ),
    "preferences.remove": lambda stores, now, who, f: stores.preferences.remove_preferences(now, who, _text(f, "user")),
    "models.set": lambda stores, now, who, f: stores.models.set_model(
        now, who, _text(f, "name"), _object(f, "changes")
    ),
    "models.remove": lambda stores, now, who, f: stores.models.remove_model(now, who, _text(f, "name")),
    "providers.set": lambda stores, now, who, f: stores.models.set_provider(
        now, who, _text(f, "name"), _object(f, "changes")
    ),
    "alert_rules.add": lambda stores, now, who, f: stores.alerts.add_rule(
        now, who, _text(f, "name"), _settings(f) or {}
    ),
    "alert_rules.set": lambda stores, now, who, f: stores.alerts.set_rule(
        now, who, _text(f, "name"), _settings(f) or {}
    ),
    "alert_rules.remove": lambda stores, now, who, f: stores.alerts.remove_rule(now, who, _text(f, "name")),
    "alert_rules.silence": lambda stores, now, who, f: stores.alerts.silence(
        now, who, _text(f, "name"), _optional_ms(f, "until_ms") or 0, _optional_text(f, "reason")
    ),
    "alert_rules.unsilence": lambda stores, now, who, f: stores.alerts.unsilence(now, who, _text(f, "name")),
    "alert_destinations.add": lambda stores, now, who, f: add_destination(
        stores, now, who, _text(f, "name"), _object(f, "settings")
    ),
    "alert_destinations.set": lambda stores, now, who, f: set_destination(
        stores, now, who, _text(f, "name"), _object(f, "settings")
    ),
    "alert_destinations.remove": lambda stores, now, who, f: remove_destination(stores, now, who, _text(f, "name")),
    "alert_deliveries.retry": lambda stores, now, who, f: stores.alerts.send_again(
        now, who, _optional_ms(f, "id") or 0
    ),
}
