"""Add, change, rotate and remove a provider's key: its row and what is sealed for it, in one transaction."""

from collections.abc import Mapping
from typing import Any, Protocol

from proxy.config.key_overlay import is_management
from proxy.core.secret import Secret
from proxy.storage.audit import Actor
from proxy.storage.provider_keys import (
    ProviderKeyStore,
    SealedHashes,
    checked_settings,
    hint_of,
    key_exists,
    management_exists,
    no_key,
    place_of,
)
from proxy.storage.sealed import SealedStore
from proxy.storage.users import UserError


class KeyHolders(Protocol):
    """Everything that a key stands in."""

    @property
    def keys(self) -> ProviderKeyStore: ...

    @property
    def sealed(self) -> SealedStore: ...


def add_key(
    holders: KeyHolders, now_ms: int, actor: Actor, row: Mapping[str, Any], secret: Secret, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Add a key. row: provider, name, and user or group whose own it is; raises UserError.

    The answer tells under master_key_made whether the first one has made the master key, and where it is.
    """
    found = {"user": None, "group": None, **row, "settings": {}, "disabled": False}
    found |= {"hint": hint_of(secret), "created_ms": now_ms, "rotated_ms": None}
    found["settings"] = checked_settings(found, settings)
    if holders.keys.find_key(found["provider"], found["name"]) is not None:
        raise key_exists(found["provider"], found["name"])
    for other in holders.keys.list_keys():
        if is_management(found) and is_management(other) and other["provider"] == found["provider"]:
            raise management_exists(other)
        owner = (found["user"], found["group"])
        if owner != (None, None) and (other["provider"], other["user"], other["group"]) == (found["provider"], *owner):
            raise UserError(
                f"{found['user'] or found['group']} has an own key for {found['provider']} already:"
                f" {other['name']}. Replace it with: tollkeeper keys rotate {other['provider']} {other['name']}"
            )
    holders.sealed.put(place_of(found), secret)
    hashes = SealedHashes(None, holders.sealed.fingerprint(place_of(found)))
    holders.keys.put_key(now_ms, actor, "keys.add", found, hashes)
    return {**found, "master_key_made": holders.sealed.made_file}


def set_key(
    holders: KeyHolders,
    now_ms: int,
    actor: Actor,
    provider: str,
    name: str,
    *,
    patch: Mapping[str, Any],
    disabled: bool | None,
) -> dict[str, Any]:
    """Change settings of a key (None removes one), or whether it is disabled; raises UserError."""
    found = _found(holders, provider, name)
    found["settings"] = checked_settings(found, patch)
    found["disabled"] = found["disabled"] if disabled is None else disabled
    unchanged = holders.sealed.fingerprint(place_of(found))
    holders.keys.put_key(now_ms, actor, "keys.set", found, SealedHashes(unchanged, unchanged))
    return found


def rotate_key(
    holders: KeyHolders, now_ms: int, actor: Actor, provider: str, name: str, secret: Secret
) -> dict[str, Any]:
    """Put another key in the place of one; also of one that does not open any more."""
    found = {**_found(holders, provider, name), "hint": hint_of(secret), "rotated_ms": now_ms}
    before = holders.sealed.fingerprint(place_of(found))
    holders.sealed.put(place_of(found), secret)
    hashes = SealedHashes(before, holders.sealed.fingerprint(place_of(found)))
    holders.keys.put_key(now_ms, actor, "keys.rotate", found, hashes)
    return found


def remove_key(holders: KeyHolders, now_ms: int, actor: Actor, provider: str, name: str) -> dict[str, Any]:
    """Remove a key for good."""
    found = _found(holders, provider, name)
    holders.sealed.remove(*place_of(found)[:2])
    holders.keys.remove_key(now_ms, actor, found)
    return found


def remove_own_keys(
    holders: KeyHolders, now_ms: int, actor: Actor, *, user: str | None = None, group: str | None = None
) -> None:
    """Remove the own keys of a user, or a group, that goes: another one of its name must not pay with them."""
    for row in holders.keys.list_keys():
        if (row["user"], row["group"]) == (user, group):
            remove_key(holders, now_ms, actor, row["provider"], row["name"])


def stop_key(holders: KeyHolders, now_ms: int, actor: Actor, provider: str, name: str, *, stopped: bool) -> None:
    """Disable a key of the configuration, by a row without a key of its own; or let it be used again."""
    found = holders.keys.find_key(provider, name)
    if found is not None and found["hint"] is not None:
        set_key(holders, now_ms, actor, provider, name, patch={}, disabled=stopped)
    elif stopped and found is None:
        row: dict[str, Any] = {"provider": provider, "name": name, "user": None, "group": None, "hint": None}
        rest = {"settings": {}, "disabled": True, "created_ms": now_ms, "rotated_ms": None}
        holders.keys.put_key(now_ms, actor, "keys.disable", {**row, **rest}, SealedHashes(None, None))
    elif not stopped and found is not None:
        holders.keys.remove_key(now_ms, actor, found)


def _found(holders: KeyHolders, provider: str, name: str) -> dict[str, Any]:
    found = holders.keys.find_key(provider, name)
    if found is None or found["hint"] is None:
        raise no_key(provider, name)
    return found
