"""Groups that are kept in the ledger: the operations on them, and the rules that any store of them holds.

Fails closed: a mistake raises UserError and changes nothing. Rows are plain JSON-ready dictionaries.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from proxy.storage.audit import Actor
from proxy.storage.stored_settings import SettingsError, check_group_settings, patched
from proxy.storage.users import MissingError, UserError, check_name, in_settings


class GroupReader(Protocol):
    """What is asked of groups."""

    def list_groups(self) -> list[dict[str, Any]]:
        """Return all groups by name."""
        ...


class GroupStore(GroupReader, Protocol):
    """What changes groups; who did it, and when, goes to the audit trail."""

    def add_group(self, now_ms: int, actor: Actor, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Add a group. settings: what a group may have in the configuration."""
        ...

    def set_group(self, now_ms: int, actor: Actor, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Change settings, None removes one; makes a row where there is none, for a group of the configuration."""
        ...

    def remove_group(self, now_ms: int, actor: Actor, name: str, *, is_configured: bool) -> dict[str, Any]:
        """Remove a group; its members are then in none, and groups below it have no parent.

        is_configured: the configuration has it too, where it stays, and with it its members. What was spent stays.
        """
        ...


def checked_group(name: str, settings: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a group with a patch; raises UserError for what no group can have."""
    check_name(name, "group")
    found = patched(settings, patch)
    try:
        check_group_settings(found)
    except SettingsError as error:
        raise in_settings(error) from None
    return found


def no_group(name: str) -> MissingError:
    """Return the error for a group that is not in the ledger."""
    return MissingError(f"There is no group {name!r} in the database. See: tollkeeper groups list")


def group_exists(name: str) -> UserError:
    """Return the error for a second group of the same name."""
    return UserError(f"Group {name!r} exists already. Change it with: tollkeeper groups set {name}")
