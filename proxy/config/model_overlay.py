"""Lay what the database says of models, and of providers as a whole, over what the file says: either may disable."""

from collections.abc import Iterable, Mapping
from typing import Any

from proxy.config.check import BlockError
from proxy.config.model import ModelSettings
from proxy.config.provider import Provider

Row = Mapping[str, Any]


def lay_models(file: Mapping[str, ModelSettings], rows: Iterable[Row]) -> Mapping[str, tuple[ModelSettings, list[str]]]:
    """Return the settings of each name that the database has, with the fields that it decides in them.

    The file goes before it field by field, except that what either disables is disabled.
    """
    found: dict[str, tuple[ModelSettings, list[str]]] = {}
    for row in rows:
        try:
            stored = ModelSettings.read(row["settings"])
        except BlockError:  # it may have disabled it
            stored = ModelSettings(enabled=False)
        own = file.get(row["name"], ModelSettings())
        update = {
            name: getattr(stored, name)
            for name in ModelSettings.fields
            if name in stored.given and name not in own.given
        }
        if own.enabled and not stored.enabled:
            update["enabled"] = False
        found[row["name"]] = own.replaced(update), [*update]
    return found


def switched_off(providers: Mapping[str, Provider], rows: Iterable[Row]) -> dict[str, Provider]:
    """Return the providers that the database alone disables."""
    names = [row["name"] for row in rows if row["settings"].get("enabled") is False]
    return {
        name: providers[name].replaced({"enabled": False})
        for name in names
        if name in providers and providers[name].enabled
    }
