"""Operators in dictionaries."""

from collections.abc import Mapping
from typing import Any

from proxy.core.user_token import OPERATOR_PREFIX, new_token, token_hash
from proxy.storage.audit import Actor
from proxy.storage.operators import check_operator_changes, check_operator_name, no_operator, operator_exists


class MemoryOperators:
    """Operators of a store."""

    def __init__(self, operators: dict[str, dict[str, Any]], hashes: dict[str, str]) -> None:
        """operators, and hashes of their tokens, both by name."""
        self._operators, self._hashes = operators, hashes

    def list_operators(self) -> list[dict[str, Any]]:
        return [dict(self._operators[name]) for name in sorted(self._operators)]

    def _find(self, name: str) -> dict[str, Any]:
        if name not in self._operators:
            raise no_operator(name)
        return self._operators[name]

    def add_operator(self, now_ms: int, actor: Actor, name: str, role: str, expires_ms: int | None) -> dict[str, Any]:
        check_operator_name(name)
        check_operator_changes(now_ms, {"role": role, "expires_ms": expires_ms})
        if name in self._operators:
            raise operator_exists(name)
        bare: dict[str, Any] = {"hint": "", "rotated_ms": None, "disabled": False}
        self._operators[name] = {"name": name, "role": role, **bare, "created_ms": now_ms, "expires_ms": expires_ms}
        return {**self.rotate_operator(now_ms, actor, name), "rotated_ms": None}

    def set_operator(self, now_ms: int, actor: Actor, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        assert actor.name
        row = self._find(name)
        check_operator_changes(now_ms, changes)
        row.update(changes)
        return dict(row)

    def rotate_operator(self, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
        assert actor.name
        row, token = self._find(name), new_token(OPERATOR_PREFIX)
        row.update(hint=token[-4:], rotated_ms=now_ms)
        self._hashes[name] = token_hash(token)
        return {**row, "token": token}

    def remove_operator(self, now_ms: int, actor: Actor, name: str) -> dict[str, Any]:
        assert actor.name
        assert now_ms >= 0
        removed = self._find(name)
        self._operators.pop(name)
        self._hashes.pop(name)
        return removed
