"""Operators by the hash of their token."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct


class OperatorRow(Struct, frozen=True):
    """An operator of the configuration in force."""

    name: str
    role: str  # viewer or admin
    expires_ms: int | None
    disabled: bool


def operators_by_hash(rows: Iterable[Mapping[str, Any]], hashes: Mapping[str, str]) -> Mapping[str, OperatorRow]:
    """Return the operators of rows of storage/operators.py; hashes: of their tokens, by name."""
    return {
        hashes[row["name"]]: OperatorRow(row["name"], row["role"], row["expires_ms"], row["disabled"]) for row in rows
    }
