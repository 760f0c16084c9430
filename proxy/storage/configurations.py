"""Configurations that were in force: the last ones, as their text with secrets masked."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from proxy.storage.audit import Actor

KEPT = 20


class ConfigurationReader(Protocol):
    """What is asked of them. A row has id, at_ms, actor, source, fingerprint, file, changes, text."""

    def list_configurations(self) -> list[dict[str, Any]]:
        """Return the last ones, newest first; changes are lines for people."""
        ...


class ConfigurationStore(ConfigurationReader, Protocol):
    """What adds to them."""

    def keep_configuration(self, now_ms: int, actor: Actor, loaded: Mapping[str, Any]) -> None:
        """Add one that has come into force, unless it is the last one still; forget all but the last KEPT.

        loaded: fingerprint, file (or None), changes (a list of lines) and text.
        """
        ...


def is_new(rows: Sequence[Mapping[str, Any]], loaded: Mapping[str, Any]) -> bool:
    """Return whether a configuration differs from the newest of rows; it may say the same in other words."""
    return not rows or rows[0]["fingerprint"] != loaded["fingerprint"] or bool(loaded["changes"])
