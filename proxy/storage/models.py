"""What the operator says at run time of models and of providers: one row for each name, laid over the file's settings.

A model's name may hold * for any text, as in models: of the configuration. Of a provider only the switch is stored.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from proxy.config.check import BlockError
from proxy.config.model import ModelSettings
from proxy.storage.audit import Actor
from proxy.storage.users import MissingError, UserError

_NAME_CHARS_MAX = 256
PROVIDER_FIELDS = ("enabled",)


class ModelStore(Protocol):
    """What changes models and providers."""

    def set_model(self, now_ms: int, actor: Actor, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields of a model's settings; null takes one out. Raises UserError for what cannot be one."""
        ...

    def remove_model(self, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
        """Remove all that was said of a name; raises MissingError where nothing was."""
        ...

    def set_provider(self, now_ms: int, actor: Actor, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change the switch of a provider (enabled; null leaves it to the file)."""
        ...


def changed_settings(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with changes made; what is null is taken out."""
    return {name: value for name, value in {**before, **changes}.items() if value is not None}


def check_model(name: str, settings: Mapping[str, Any]) -> None:
    """Raise UserError for a name that no model can have, or settings that the configuration would refuse."""
    if not 0 < len(name) <= _NAME_CHARS_MAX or not name.isprintable():
        raise UserError(f"The name of a model is 1 to {_NAME_CHARS_MAX} printable characters; * stands for any text.")
    try:
        ModelSettings.read(settings)
    except BlockError as error:
        first = error.faults[0]
        raise UserError(f"{first.place}: {str(first.error).rstrip('.')}.") from None


def check_provider(changes: Mapping[str, Any]) -> None:
    """Raise UserError for changes that no provider can have at run time."""
    for field, value in changes.items():
        if field not in PROVIDER_FIELDS:
            raise UserError(f"{field!r} of a provider stands in the configuration; here it is {PROVIDER_FIELDS[0]}.")
        if not isinstance(value, bool | None):
            raise UserError(f"{field}: true, false or null is needed.")


def no_model(name: str) -> MissingError:
    """Return the error for a name of which nothing is stored."""
    return MissingError(f"Nothing is stored of {name!r}. See: tollkeeper models list")
