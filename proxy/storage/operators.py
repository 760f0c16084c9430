"""Operators who have a token of their own: the operations on them, and the rules that any store of them holds.

What the command line does over its socket, and who sends admin_token, is not among them.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from proxy.storage.audit import Actor
from proxy.storage.users import MissingError, UserError, check_name

ROLES = ("viewer", "admin")
OPERATOR_FIELDS = ("role", "expires_ms", "disabled")  # that can be changed
RESERVED = ("admin_token",)  # who sends that of the configuration has this name in the audit trail


class OperatorReader(Protocol):
    """What is asked of operators. A row has name, role, hint, created_ms, rotated_ms, expires_ms, disabled."""

    def list_operators(self) -> list[dict[str, Any]]:
        """Return all operators by name, without hashes."""
        ...


class OperatorStore(OperatorReader, Protocol):
    """What changes operators; each change has its entry in the audit trail."""

    def add_operator(self, now_ms: int, actor: Actor, name: str, role: str, expires_ms: int | None) -> dict[str, Any]:
        """Add an operator; only this answer ever holds their token, under ``token``."""
        ...

    def set_operator(self, now_ms: int, actor: Actor, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change role, expires_ms or disabled."""
        ...

    def rotate_operator(self, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
        """Replace the token, at once; only this answer ever holds the new one."""
        ...

    def remove_operator(self, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
        """Remove an operator; what they did stays in the audit trail."""
        ...


def check_operator_name(name: str) -> None:
    """Raise UserError for what cannot be the name of an operator."""
    check_name(name, "operator")
    if name in RESERVED:
        raise UserError(f"{name!r} is what the audit trail calls whoever sends admin_token. Take another name.")


def check_operator_changes(now_ms: int, changes: Mapping[str, Any]) -> None:
    """Raise UserError for changes that no operator can have."""
    for key, value in changes.items():
        if key not in OPERATOR_FIELDS:
            raise UserError(f"{key!r} is not a field of an operator that can be changed: {', '.join(OPERATOR_FIELDS)}.")
        if key == "role" and value not in ROLES:
            raise UserError(f"{value!r} is not a role: {', '.join(ROLES)}.")
        if key == "expires_ms" and value is not None and value <= now_ms:
            raise UserError("expires: that has passed already. To stop an operator at once, disable them.")


def no_operator(name: str) -> MissingError:
    """Return the error for an operator who is not there."""
    return MissingError(f"There is no operator {name!r}. See: tollkeeper operators list")


def operator_exists(name: str) -> UserError:
    """Return the error for a second operator of the same name."""
    return UserError(f"Operator {name!r} exists already. For a new token: tollkeeper operators rotate {name}")
