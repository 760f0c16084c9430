"""Settings that the database holds of users and groups: how they are checked and changed. Pure.

They are JSON in the words of the configuration, and hold what a block of it may hold, so that a file and a command say
the same. The checks are those of the file.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from proxy.config.block import Block
from proxy.config.check import KEY, BlockError
from proxy.config.diagnostic_texts import findings
from proxy.config.key_overlay import MANAGEMENT
from proxy.config.overlay import OF_THE_FILE, OF_THE_ROW
from proxy.config.provider import ProviderKey
from proxy.config.schema import AlertDestination, AlertRule, Group, Limits, User
from proxy.config.setting_path import written
from proxy.core.errors import TollkeeperError

USER_SETTINGS = tuple(name for name in User.fields if name not in OF_THE_ROW | OF_THE_FILE)
GROUP_SETTINGS = tuple(Group.fields)
KEY_SETTINGS = tuple(name for name in ProviderKey.fields if name not in ("name", "api_key", "api_key_file"))


class SettingsError(TollkeeperError):
    """Settings that the file would refuse; field is the first at fault, as ``limits.cost``."""

    def __init__(self, text: str, field: str) -> None:
        super().__init__(text)
        self.field = field


def check_user_settings(value: Any) -> None:
    """Raise SettingsError for what no user of the database may have."""
    _check_names(value, USER_SETTINGS, "user")
    _check(User, value, ("users", "name"))


def check_group_settings(value: Any) -> None:
    """Raise SettingsError for what no group may have."""
    _check_names(value, GROUP_SETTINGS, "group")
    _check(Group, value, ("groups", "name"))


def check_key_settings(value: Any) -> None:
    """Raise SettingsError for what no provider's key in the database may have."""
    if value == {MANAGEMENT: True}:
        return
    _check_names(value, KEY_SETTINGS, "key")
    _check(ProviderKey, {"name": "name", **value}, ("providers", "name", "keys", "name"))


def check_alert_rule(value: Any) -> None:
    """Raise SettingsError for what cannot be an alert rule."""
    _check(AlertRule, value, ("alerts", "rules", "name"))


def check_alert_destination(value: Any) -> None:
    """Raise SettingsError for what cannot be a destination of alerts."""
    _check(AlertDestination, value, ("alerts", "destinations", "name"))


def check_limits(value: Any) -> None:
    """Raise SettingsError for what cannot be limits."""
    _check(Limits, value, ("limits",))


def patched(settings: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with those of the patch in their place; one that is None there is removed."""
    return without_none({**settings, **patch})


def without_none(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that have a value."""
    return {name: value for name, value in settings.items() if value is not None}


def _check_names(value: Any, known: Iterable[str], what: str) -> None:
    names = tuple(known)
    for name in value if isinstance(value, Mapping) else ():
        if name not in names:
            raise SettingsError(
                f"{name!r} cannot be set for a {what} in the database. There are: {', '.join(names)}.", str(name)
            )


def _check(model: type[Block], value: Any, at: tuple[str, ...]) -> None:
    try:
        model.read(value)
    except BlockError as error:
        first = findings(fault.below(at) for fault in error.faults)[0]
        field = written(tuple(step for step in first.path[len(at) :] if step != KEY))
        must = first.must if first.must.endswith((".", "?")) else f"{first.must}."
        text = " ".join(part for part in (must, first.advice) if part)
        raise SettingsError(f"{field}: {text}" if field else text, field) from None
