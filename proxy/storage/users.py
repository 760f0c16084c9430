"""Users and tokens that are kept in the ledger: the operations on them, and the rules that any store of them holds.

Fails closed: a mistake raises UserError and changes nothing. Rows are plain JSON-ready dictionaries, the same over the
socket, over HTTP and on the command line.
"""

import re
from collections.abc import Mapping
from typing import Any, Protocol

from proxy.core.errors import TollkeeperError
from proxy.storage.audit import Actor
from proxy.storage.stored_settings import SettingsError, check_user_settings

_NAME = re.compile(r"[A-Za-z0-9._@+-]{1,64}")
_STEPS = (".", "..")  # in an address they are no name: it would lead elsewhere
USER_FIELDS = ("group", "disabled", "settings")  # of a user that can be changed
TOKEN_FIELDS = ("disabled", "expires_ms", "trusted")


class UserError(TollkeeperError):
    """A change that cannot be made; the text says why and what to do. param: the path of the field at fault."""

    def __init__(self, text: str, param: str | None = None) -> None:
        super().__init__(text)
        self.param = param


class TooManyUsersError(UserError):
    """As many end users were made as may be."""


class MissingError(UserError):
    """No such user or token."""


class UserReader(Protocol):
    """What is asked of users and tokens."""

    def list_users(self) -> list[dict[str, Any]]:
        """Return all users by name."""
        ...

    def find_user(self, name: str) -> dict[str, Any]:
        """Return one user; raises MissingError."""
        ...

    def list_tokens(self, user: str | None = None) -> list[dict[str, Any]]:
        """Return tokens without their hashes, by user and age; of one user if given."""
        ...


class UserStore(UserReader, Protocol):
    """What changes users and tokens; who did it, and when, goes to the audit trail."""

    def add_user(
        self, now_ms: int, actor: Actor, name: str, group: str | None, settings: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Add a user without a token. settings: limits, models, max_tokens, as in the configuration."""
        ...

    def stop_user(self, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
        """Disable a user by a row of its own, made where there is none: it stops one of the configuration too."""
        ...

    def take_up_user(self, now_ms: int, name: str) -> None:
        """Make a row for a user of the configuration, where there is none: what is set lies over the file's."""
        ...

    def set_user(self, now_ms: int, actor: Actor, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change group, disabled or settings (as in the configuration). What was spent stays."""
        ...

    def remove_user(self, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
        """Remove a user and all tokens; what was spent stays in the ledger."""
        ...

    def add_token(
        self,
        now_ms: int,
        actor: Actor,
        user: str,
        name: str | None,
        expires_ms: int | None,
        *,
        trusted: bool = False,
    ) -> dict[str, Any]:
        """Create a token; only this answer ever holds it, under ``token``. trusted: it may name end users."""
        ...

    def set_token(self, now_ms: int, actor: Actor, token_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change disabled, trusted or expires_ms."""
        ...

    def rotate_token(self, now_ms: int, actor: Actor, token_id: str, overlap_ms: int) -> dict[str, Any]:
        """Create a successor; the old token stays valid for overlap_ms."""
        ...

    def remove_token(self, now_ms: int, actor: Actor, token_id: str) -> dict[str, Any]:
        """Remove a token; what was spent with it stays in the ledger."""
        ...


def check_name(name: str, what: str) -> None:
    """Raise UserError for what cannot be a name; what: user, group, token."""
    if not _NAME.fullmatch(name) or name in _STEPS:
        article = "an" if what[0] in "aeio" else "a"  # a user, as it is spoken
        rule = (
            "1 to 64 letters, digits, and . _ @ + - only" if name not in _STEPS else "in an address it leads elsewhere"
        )
        raise UserError(f"{name!r} cannot be the name of {article} {what}: {rule}.")


def check_settings(value: Any) -> None:
    """Raise UserError for settings that the configuration would refuse for a user."""
    try:
        check_user_settings(value)
    except SettingsError as error:
        raise in_settings(error) from None


def in_settings(error: SettingsError) -> UserError:
    """Return the error of a user's or a group's settings, which are a field of what was asked."""
    return UserError(f"settings.{error}", f"settings.{error.field}" if error.field else "settings")


def check_user_changes(changes: Mapping[str, Any]) -> None:
    """Raise UserError for changes that no user can have."""
    for key, value in changes.items():
        if key not in USER_FIELDS:
            raise UserError(f"{key!r} is not a field of a user: {', '.join(USER_FIELDS)}.")
        if key == "settings":
            check_settings(value)
        elif key == "group" and value is not None:
            check_name(value, "group")


def check_token_changes(changes: Mapping[str, Any]) -> None:
    """Raise UserError for changes that no token can have."""
    for key in changes:
        if key not in TOKEN_FIELDS:
            raise UserError(f"{key!r} is not a field of a token that can be changed: {', '.join(TOKEN_FIELDS)}.")


def no_user(name: str) -> MissingError:
    """Return the error for a user who is not in the ledger."""
    return MissingError(f"There is no user {name!r} in the database. See: tollkeeper users list")


def no_token(token_id: str) -> MissingError:
    """Return the error for a token that is not in the ledger."""
    return MissingError(f"There is no token {token_id!r} in the database. See: tollkeeper tokens list")


def user_exists(name: str) -> UserError:
    """Return the error for a second user of the same name."""
    return UserError(f"User {name!r} exists already. Give another token with: tollkeeper tokens add {name}")
