"""Providers' keys that are kept in the ledger: what a row holds, and the rules that any store of them holds.

A row never holds the key itself: that is sealed (sealed.py). Rows are plain JSON-ready dictionaries: provider, name,
user and group (whose own key it is; both None: anybody's), hint (its last characters), settings (as in the
configuration), disabled, created_ms, rotated_ms. A row without a hint only stops a key of the configuration.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from msgspec import Struct

from proxy.config.key_overlay import MANAGEMENT
from proxy.core.secret import Secret
from proxy.policy.sealing.place import Place
from proxy.storage.audit import Actor
from proxy.storage.stored_settings import SettingsError, check_key_settings, patched
from proxy.storage.users import MissingError, UserError, check_name

TABLE: Final = "provider_keys"  # part of each ciphertext: never renamed
_HINT_CHARS: Final = 4
_HINTED_FROM_CHARS: Final = 16  # of a shorter key four characters would be too much
Row = Mapping[str, Any]


class SealedHashes(Struct, frozen=True):
    """What the audit trail keeps of a key: the SHA-256 of its ciphertext before a change and after it."""

    before: str | None
    after: str | None


class ProviderKeyReader(Protocol):
    """What is asked of keys."""

    def list_keys(self) -> list[dict[str, Any]]:
        """Return all keys by provider and name."""
        ...


class ProviderKeyStore(ProviderKeyReader, Protocol):
    """The rows of keys; who changed one, and when, goes to the audit trail."""

    def find_key(self, provider: str, name: str) -> dict[str, Any] | None:
        """Return one row; None where there is none."""
        ...

    def put_key(self, now_ms: int, actor: Actor, action: str, row: Row, hashes: SealedHashes) -> None:
        """Write a row in place of one of the same provider and name."""
        ...

    def remove_key(self, now_ms: int, actor: Actor, row: Row) -> None:
        """Remove a row."""
        ...


def key_id(provider: str, name: str) -> str:
    """Return what a key is called in the operator's API; neither part can hold the colon."""
    return f"{provider}:{name}"


def place_of(row: Row) -> Place:
    """Return where the key of a row is sealed: bound to its provider and to whose it is."""
    owner = f"user:{row['user']}" if row["user"] is not None else f"group:{row['group']}" if row["group"] else ""
    return Place(TABLE, f"{row['provider']}/{row['name']}/{owner}", "secret")


def hint_of(secret: Secret) -> str:
    """Return what may be shown of a key."""
    text = secret.reveal()
    return text[-_HINT_CHARS:] if len(text) >= _HINTED_FROM_CHARS else ""


def checked_settings(row: Row, patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a key with a patch; raises UserError for what no such key can have."""
    check_name(row["name"], "key")
    found = patched(row["settings"], patch)
    if MANAGEMENT in found and (len(found) > 1 or row["user"] is not None or row["group"] is not None):
        raise UserError("A management key is the account's, and has no settings: no request is sent with it.")
    if found and (row["user"] is not None or row["group"] is not None):
        raise UserError(
            f"A key of a user's or a group's own has no {', '.join(found)}: it alone is used for their requests."
            " What they may spend is said by their own limits."
        )
    try:
        check_key_settings(found)
    except SettingsError as error:
        raise UserError(str(error), error.field or None) from None
    return found


def no_key(provider: str, name: str) -> MissingError:
    """Return the error for a key that is not in the ledger."""
    return MissingError(f"There is no key {name!r} of {provider} in the database. See: tollkeeper keys list")


def management_exists(row: Row) -> UserError:
    """Return the error for a second management key of a provider."""
    return UserError(
        f"{row['provider']} has a management key already: {row['name']}. Replace it with: tollkeeper keys rotate"
        f" {row['provider']} {row['name']}"
    )


def key_exists(provider: str, name: str) -> UserError:
    """Return the error for a second key of the same name."""
    return UserError(
        f"There is a key {name!r} of {provider} already. Replace it with: tollkeeper keys rotate {provider} {name}"
    )
