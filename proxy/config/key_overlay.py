"""Lay the keys of the database beside those of the file. Pure.

A name that the file has is the file's; a key that is disabled, or that does not open, is left out. Where no key is
left of a provider that has or needs one, nothing may be sent to it: not even without a key.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from proxy.config.provider import Provider, ProviderKey, default_base_url

MAIN: Final = "main"
"""What the key of api_key is called."""
MANAGEMENT: Final = "management"
"""The setting by which a row is a management key, which no request is ever sent with."""
Row = Mapping[str, Any]  # of storage/provider_keys.py, with secret


def lay_keys(file: Mapping[str, Provider], rows: Iterable[Row]) -> Mapping[str, Provider]:
    """Return the providers of the file with the keys that are in use; the same where nothing changes."""
    of_anybody = [row for row in rows if row["user"] is None and row["group"] is None]
    changed = {}
    for name, provider in file.items():
        own = [row for row in of_anybody if row["provider"] == name]
        found = _with_keys(name, provider, [row for row in own if not is_management(row)])
        found = _with_management(found, [row for row in own if is_management(row)])
        if found is not provider:
            changed[name] = found
    return {**file, **changed} if changed else file


def names_in_file(provider: Provider) -> tuple[str, ...]:
    """Return what the file's keys of a provider are called."""
    return (MAIN,) if provider.api_key is not None else tuple(key.name for key in provider.keys)


def is_management(row: Row) -> bool:
    """Return whether a row is a management key."""
    return row["settings"].get(MANAGEMENT) is True


def stored_key(row: Row) -> ProviderKey:
    """Return the settings of a row; raises BlockError."""
    key: ProviderKey = ProviderKey.read({**row["settings"], "name": row["name"], "api_key": row["secret"]})
    return key


def _with_keys(name: str, provider: Provider, rows: list[Row]) -> Provider:
    in_file, stopped = names_in_file(provider), {row["name"] for row in rows if row["disabled"]}
    main = None if MAIN in stopped else provider.api_key
    keys = [key for key in provider.keys if key.name not in stopped]
    keys += [stored_key(row) for row in rows if row["secret"] is not None and row["name"] not in {*in_file, *stopped}]
    if not keys and main is None and (rows or in_file or _needs_key(name, provider)):
        keys = [_not_any()]
    if main is provider.api_key and tuple(keys) == provider.keys:
        return provider
    return provider.replaced({"api_key": main, "keys": tuple(keys)})


def _with_management(provider: Provider, rows: list[Row]) -> Provider:
    """Return a provider with the management key of the database, unless the file has one."""
    secrets = [row["secret"] for row in rows if row["secret"] is not None and not row["disabled"]]
    if provider.management_key or not secrets:
        return provider
    return provider.replaced({"management_key": secrets[0]})


def _not_any() -> ProviderKey:
    """Return what stands for the keys of a provider that has none in use: one that is never valid."""
    return ProviderKey(name="none", valid_until=datetime(1970, 1, 1, tzinfo=UTC))


def _needs_key(name: str, provider: Provider) -> bool:
    """Return whether a provider is known to answer nobody without a key."""
    return default_base_url(name, provider.kind) == str(provider.base_url)
