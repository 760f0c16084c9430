"""Every end user by name: those of the configuration and of the database, and any new one."""

from collections.abc import Iterable, Mapping
from typing import Any

from proxy.config.overlay import stored_user
from proxy.config.schema import Settings
from proxy.config.schema import User as UserSettings
from proxy.pipeline.admission.allowance import build_allowance
from proxy.pipeline.identity.end_users import NamedUser
from proxy.pipeline.identity.own_keys import OwnKeys
from proxy.pipeline.values.allowance import Allowance as BuiltAllowance
from proxy.providers.key import Key


class UserLookup:
    """Rows are those of storage/sqlite/users.py; results are cached, except for new end users."""

    def __init__(self, settings: Settings, rows: Iterable[Mapping[str, Any]], own_keys: OwnKeys) -> None:
        self._settings = settings
        self.own_keys = own_keys
        self._rows = {row["name"]: row for row in rows}
        self._found: dict[str, NamedUser] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        self._rows[row["name"]] = row

    def find(self, name: str) -> NamedUser:
        person = self._found.get(name)
        if person is not None:
            return person
        own = self._settings.users.get(name)
        row = self._rows.get(name)
        if own is None and row is None:
            return self._new(name)
        if own is not None:
            keys = self.own_keys.of(name, own.group)
            person = _configured(self._settings, name, own, keys, is_stopped=row is not None and row["disabled"])
        else:
            person = _stored(self._settings, row or {}, self.own_keys)
        self._found[name] = person
        return person

    def _new(self, name: str) -> NamedUser:
        template = self._settings.end_users
        return NamedUser(
            template.group,
            build_allowance(self._settings, name, template.group, None, template),
            self.own_keys.of(name, template.group),
            is_new=True,
        )


def _configured(
    settings: Settings, name: str, own: UserSettings, own_keys: Mapping[str, Key], *, is_stopped: bool
) -> NamedUser:
    return NamedUser(
        own.group,
        build_allowance(settings, name, own.group, own),
        own_keys,
        None if own.expires_at is None else moment_ms(own.expires_at),
        own.disabled or is_stopped,
    )


def _stored(settings: Settings, row: Mapping[str, Any], own_keys: OwnKeys) -> NamedUser:
    group = group_of(settings, row)
    own = stored_user(row)
    expires_ms = None if own.expires_at is None else moment_ms(own.expires_at)
    allowance, keys = stored_allowance(settings, row), own_keys.of(row["name"], group)
    return NamedUser(group, allowance, keys, expires_ms=expires_ms, disabled=own.disabled)


def group_of(settings: Settings, row: Mapping[str, Any]) -> str | None:
    """Return the group of a user in the database; for an end user without one that of the template."""
    group: str | None = row["group"]
    return group or (settings.end_users.group if row["made_by"] is not None else None)


def stored_allowance(settings: Settings, row: Mapping[str, Any]) -> BuiltAllowance:
    """Return what a user in the database may use: own settings, then the template's, then the defaults."""
    template = settings.end_users if row["made_by"] is not None else None
    own = stored_user(row)
    return build_allowance(settings, row["name"], group_of(settings, row), own, template)


def moment_ms(moment: Any) -> int:
    return int(moment.timestamp() * 1000)
