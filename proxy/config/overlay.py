"""Lay what the database holds over the settings of the file, so that all that comes after sees one Settings.

The file wins wherever both decide: field by field in a user and a group, limit by limit in limits. A user whom either
disables is disabled. End users, whom a token named, stay out of it: their settings lie over those of end_users.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

import orjson
from msgspec import Struct

from proxy.config.block import Block
from proxy.config.check import BlockError
from proxy.config.key_overlay import lay_keys, names_in_file
from proxy.config.model import ModelSettings
from proxy.config.model_overlay import lay_models, switched_off
from proxy.config.preferences import PreferenceSettings
from proxy.config.provider import Provider
from proxy.config.schema import AlertDestination, AlertRule, Alerts, Group, Limits, Settings, User

SettingPath = tuple[str | int, ...]
Row = Mapping[str, Any]
B = TypeVar("B", bound=Block)

DATABASE: Final = "database"
CONFIG: Final = "config"
OF_THE_ROW: Final = frozenset({"group", "disabled"})
"""Fields of a user that stand in columns of their own."""
OF_THE_FILE: Final = frozenset({"token_hash", "token_hashes", "tokens", "provider_keys"})
"""Fields of a user that are no settings in the database: tokens and keys have tables of their own."""
_INSTEAD_OF: Final = {"default_model": "default_preset", "default_preset": "default_model"}
"""Settings of which a block has one or the other."""
_NOTHING: Final = Limits.read({"cost": "$0/day"})
"""The limits of what cannot be read: an unlimited bill is worse than a refusal that says why."""
_KEPT: Final = 8192  # blocks that were read from rows; one is about a kilobyte


class StoredSettings(Struct, frozen=True):
    """What the database holds of settings: rows of storage/users.py, storage/groups.py and so on."""

    users: Sequence[Row] = ()
    groups: Sequence[Row] = ()
    limits: Sequence[Row] = ()
    keys: Sequence[Row] = ()
    models: Sequence[Row] = ()
    providers: Sequence[Row] = ()
    preferences: Mapping[str, Row] = MappingProxyType({})  # what users have set for themselves, by name
    alert_rules: Sequence[Row] = ()
    alert_destinations: Sequence[Row] = ()


class UnreadableRow(NamedTuple):
    """A row of the database that this version, or the file of today, refuses; how it is removed is in command."""

    kind: str
    name: str
    problem: str
    command: str

    @property
    def text(self) -> str:
        """Return what is wrong with it, in words."""
        return f"{self.kind} {self.name}: {self.problem}".replace("  ", " ")


class Overlay(Struct, frozen=True):
    """The file's settings, those in force, and the paths of what the database decides in these."""

    file: Settings
    settings: Settings
    stored: frozenset[SettingPath]
    unreadable: tuple[UnreadableRow, ...] = ()

    def source(self, path: SettingPath) -> str:
        """Return where a setting comes from, config or database."""
        is_stored = any(path[:length] in self.stored for length in range(1, len(path) + 1))
        return DATABASE if is_stored else CONFIG


def lay_over(file: Settings, stored: StoredSettings) -> Overlay:
    """Return the settings of both.

    A row that cannot be read stops nobody but whom it is about: a user is disabled, a model or a provider switched off,
    for a group and whatever else has limits nothing may be spent, and a rule or preferences are left out.
    """
    paths: set[SettingPath] = set()
    update = {
        "users": _users(file, stored.users, paths),
        "providers": _providers(file, stored, paths),
        "models": _models(file, stored.models, paths),
        "groups": _groups(file, stored.groups, paths),
        **_limits(file, stored.limits, paths),
        "alerts": _alerts(file, stored, paths),
    }
    changed = {name: value for name, value in update.items() if value is not getattr(file, name)}
    settings = file.replaced(changed) if changed else file
    if stored.preferences:
        settings = settings.preferring({user: _preferences(one) for user, one in stored.preferences.items()})
    return Overlay(file, settings, frozenset(paths), unreadable_rows(file, stored))


def _users(file: Settings, rows: Iterable[Row], paths: set[SettingPath]) -> Mapping[str, User]:
    found: dict[str, User] = {}
    for row in rows:
        name = row["name"]
        own = file.users.get(name)
        if own is not None:
            merged = merge(own, stored_user(row), ("users", name), paths)
            if (row["disabled"] or user_problem(row) is not None) and not own.disabled:
                paths.add(("users", name, "disabled"))
                merged = merged.replaced({"disabled": True})
            found[name] = merged
        elif row["made_by"] is None:
            found[name] = stored_user(row)
            paths.add(("users", name))
    return {**file.users, **found} if found else file.users


def _providers(file: Settings, stored: StoredSettings, paths: set[SettingPath]) -> Mapping[str, Provider]:
    found = lay_keys(file.providers, stored.keys)
    off = switched_off(found, stored.providers)
    if off:
        paths.update(("providers", name, "enabled") for name in off)
        found = {**found, **off}
    for name, provider in found.items():
        in_file = names_in_file(file.providers[name])
        paths.update(("providers", name, "keys", n) for n, key in enumerate(provider.keys) if key.name not in in_file)
        if provider.management_key != file.providers[name].management_key:
            paths.add(("providers", name, "management_key"))
    return found


def _models(file: Settings, rows: Iterable[Row], paths: set[SettingPath]) -> Mapping[str, ModelSettings]:
    found: dict[str, ModelSettings] = {}
    for name, (settings, decided) in lay_models(file.models, rows).items():
        found[name] = settings
        paths.update(("models", name, field) for field in decided)
    return {**file.models, **found} if found else file.models


def _preferences(document: Row) -> PreferenceSettings:
    try:
        return _read_preferences(orjson.dumps(document))
    except BlockError:
        return PreferenceSettings()


@lru_cache(maxsize=_KEPT)
def _read_preferences(text: bytes) -> PreferenceSettings:
    preferences: PreferenceSettings = PreferenceSettings.read(orjson.loads(text))
    return preferences


def _groups(file: Settings, rows: Iterable[Row], paths: set[SettingPath]) -> Mapping[str, Group]:
    found: dict[str, Group] = {}
    for row in rows:
        name = row["name"]
        own = file.groups.get(name)
        if own is not None:
            found[name] = merge(own, stored_group(row), ("groups", name), paths)
        else:
            found[name] = stored_group(row)
            paths.add(("groups", name))
    return {**file.groups, **found} if found else file.groups


def _limits(file: Settings, rows: Iterable[Row], paths: set[SettingPath]) -> dict[str, Any]:
    """Return the fields with limits of no user and no group."""
    update: dict[str, Any] = {}
    for row in rows:
        limits = stored_limits(row)
        if row["scope"] == "all":
            update["limits"] = merge_limits(file.limits, limits, ("limits",), paths)
        elif row["scope"] == "each_user":
            merged = merge_limits(file.defaults.limits, limits, ("defaults", "limits"), paths)
            update["defaults"] = file.defaults.replaced({"limits": merged})
        else:
            name = row["name"]
            others = update.setdefault("use_case_limits", dict(file.use_case_limits))
            own = file.use_case_limits.get(name, Limits())
            others[name] = merge_limits(own, limits, ("use_case_limits", name), paths)
    return update


def destination_problem(row: Row) -> str | None:
    """Return why a destination of the database is not in use; None: it is.

    What may be reached is checked more strictly from version to version; a row of an earlier one stops nobody else.
    """
    if row["problem"] is not None:
        return f"cannot be opened: {row['problem']}; set it anew"
    try:
        AlertDestination.read({**row["settings"], **row["opened"]})
    except BlockError as error:
        first = error.faults[0]
        return f"{first.place or 'it'}: {first.error} Set it anew."
    return None


def _alerts(file: Settings, stored: StoredSettings, paths: set[SettingPath]) -> Alerts:
    """Return alerts with the rules and destinations of the database that the file does not name."""
    rules: dict[str, AlertRule] = {}
    destinations: dict[str, AlertDestination] = {}
    for row in stored.alert_destinations:
        if row["name"] not in file.alerts.destinations and destination_problem(row) is None:
            destinations[row["name"]] = AlertDestination.read({**row["settings"], **row["opened"]})
            paths.add(("alerts", "destinations", row["name"]))
    for row in stored.alert_rules:
        if row["name"] not in file.alerts.rules and rule_problem(row, file) is None:
            rules[row["name"]] = AlertRule.read(row["settings"])
            paths.add(("alerts", "rules", row["name"]))
    if not rules and not destinations:
        return file.alerts
    update = {
        "rules": {**file.alerts.rules, **rules},
        "destinations": {**file.alerts.destinations, **destinations},
    }
    return file.alerts.replaced(update)


def merge(own: B, stored: B, at: SettingPath, paths: set[SettingPath]) -> B:
    """Return a block of the file with what it leaves open filled in; paths: where those are noted."""
    update: dict[str, Any] = {}
    for name in stored.given - {"disabled"}:
        value = getattr(stored, name)
        if isinstance(value, Limits):
            update[name] = merge_limits(getattr(own, name), value, (*at, name), paths)
        elif value is not None and deciding(own, name) is None:
            update[name] = value
            paths.add((*at, name))
    return own.replaced(update) if update else own


def deciding(own: Block, name: str) -> str | None:
    """Return the setting by which a block of the file decides another, mostly that itself; None: it leaves it open."""
    given = own.given
    return next((each for each in (name, _INSTEAD_OF.get(name, name)) if each in given), None)


def merge_limits(own: Limits, stored: Limits, at: SettingPath, paths: set[SettingPath]) -> Limits:
    """Return the limits of the file, then those of the database that contradict none of them."""
    taken = {limit.place for limit in own.all}
    more = [limit for limit in stored.all if limit.place not in taken]
    if not more:
        return own
    merged: dict[str, Any] = {}
    for limit in own.all:
        merged[limit.kind] = (*merged.get(limit.kind, ()), limit)
    for limit in more:
        listed = merged.get(limit.kind, ())
        paths.add((*at, limit.kind, len(listed)))
        merged[limit.kind] = (*listed, limit)
    return Limits.read(merged)


def stored_user(row: Row) -> User:
    """Return the settings of a row of users; one that cannot be read is disabled."""
    try:
        user = _user(orjson.dumps(row["settings"]))
    except BlockError:
        user = User(disabled=True, limits=_NOTHING)
    columns = {name: row[name] for name in OF_THE_ROW if row[name]}  # of any text: an older version checked no group
    return user.replaced(columns) if columns else user


def stored_group(row: Row) -> Group:
    """Return the settings of a row of groups; of one that cannot be read nothing may be spent."""
    try:
        return _group(orjson.dumps(row["settings"]))
    except BlockError:
        return Group(limits=_NOTHING)


def stored_limits(row: Row) -> Limits:
    """Return the limits of a row of limits; one that cannot be read lets nothing be spent."""
    try:
        return _limits_in(orjson.dumps(row["settings"]))
    except BlockError:
        return _NOTHING


def user_problem(row: Row) -> str | None:
    """Return why the settings of a user cannot be read; None: they can."""
    return _problem_of(_user, row["settings"])


def rule_problem(row: Row, file: Settings) -> str | None:
    """Return why a rule of the database is not in use; None: it is, or the file has another of its name."""
    problem = _problem_of(_rule, row["settings"])
    if problem is None and (effect := _rule(orjson.dumps(row["settings"])).effect) is not None:
        preset = effect.preset
        problem = f"action: there is no preset {preset!r}" if preset and preset not in file.presets else None
    return problem


def unreadable_rows(file: Settings, stored: StoredSettings) -> tuple[UnreadableRow, ...]:
    """Return the rows that cannot be read, and how each is removed."""
    found: list[UnreadableRow] = []

    def hold(kind: str, name: str, problem: str | None, command: str) -> None:
        if problem is not None:
            found.append(UnreadableRow(kind, name, problem, command))

    for row in stored.users:
        hold("user", row["name"], user_problem(row), f"tollkeeper users remove {row['name']}")
    for row in stored.groups:
        hold("group", row["name"], _problem_of(_group, row["settings"]), f"tollkeeper groups remove {row['name']}")
    for row in stored.limits:
        whose = f"{row['scope']} {row['name']}".strip()
        option = {"all": "", "each_user": " --each-user"}.get(row["scope"], f" --use-case {row['name']}")
        command = f"tollkeeper limits remove '$0/day'{option}"  # what holds in its place
        hold("limits of", whose, _problem_of(_limits_in, row["settings"]), command)
    for row in stored.models:
        hold("model", row["name"], _problem_of(_model, row["settings"]), f"tollkeeper models remove {row['name']}")
    for user, document in stored.preferences.items():
        hold("preferences of", user, _problem_of(_read_preferences, document), "DELETE /v1/me/preferences, by the user")
    for row in stored.alert_rules:
        if row["name"] not in file.alerts.rules:
            hold("alert rule", row["name"], rule_problem(row, file), f"tollkeeper alerts remove {row['name']}")
    return tuple(found)


def _problem_of(read: Callable[[bytes], Block], settings: Any) -> str | None:
    try:
        read(orjson.dumps(settings))
    except BlockError as error:
        first = error.faults[0]
        return f"{first.place}: {first.error}" if first.place else str(first.error)
    return None


@lru_cache(maxsize=_KEPT)
def _rule(text: bytes) -> AlertRule:
    rule: AlertRule = AlertRule.read(orjson.loads(text))
    return rule


@lru_cache(maxsize=_KEPT)
def _model(text: bytes) -> ModelSettings:
    model: ModelSettings = ModelSettings.read(orjson.loads(text))
    return model


@lru_cache(maxsize=_KEPT)
def _user(text: bytes) -> User:
    user: User = User.read(orjson.loads(text))
    return user


@lru_cache(maxsize=_KEPT)
def _group(text: bytes) -> Group:
    group: Group = Group.read(orjson.loads(text))
    return group


@lru_cache(maxsize=_KEPT)
def _limits_in(text: bytes) -> Limits:
    limits: Limits = Limits.read(orjson.loads(text))
    return limits
