"""What users have set for themselves: one document for each, of the settings in config/preferences.py."""

from collections.abc import Mapping
from typing import Any, Protocol

from proxy.config.check import BlockError
from proxy.config.preferences import PreferenceSettings
from proxy.storage.audit import Actor
from proxy.storage.users import MissingError, UserError


class PreferenceStore(Protocol):
    """What changes the preferences of users."""

    def set_preferences(self, now_ms: int, actor: Actor, user: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Replace all that a user prefers; raises UserError for what is no preference."""
        ...

    def remove_preferences(self, now_ms: int, actor: Actor, user: str) -> dict[str, Any]:
        """Remove all that a user prefers, and return it; raises MissingError where there is nothing."""
        ...


def read_preferences(value: Any) -> PreferenceSettings:
    """Return the settings of a document; raises UserError that names the field at fault."""
    try:
        found: PreferenceSettings = PreferenceSettings.read(value)
    except BlockError as error:
        first = error.faults[0]
        raise UserError(f"{first.place or 'preferences'}: {str(first.error).rstrip('.')}.") from None
    return found


def no_preferences(user: str) -> MissingError:
    """Return the error for a user who has set nothing."""
    return MissingError(f"User {user!r} has set no preferences.")
