"""Older names of settings: each keeps its meaning, and `tollkeeper check` says what it is called now."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

# Path of a block (* stands for any name) -> older name -> present name.
OLDER_NAMES: Mapping[tuple[str, ...], Mapping[str, str]] = {
    ("server",): {"i_know_this_is_plain": "allow_insecure", "lane": "fast_path"},
    ("ledger",): {"settle_wait_s": "settlement_timeout_s", "crash_reservation": "after_crash"},
    ("quotas",): {"on_unaffordable": "on_over_budget"},
    ("providers", "*"): {"provisioning_key": "management_key"},  # OpenRouter renamed it
}
_NONE: Mapping[str, str] = MappingProxyType({})


def present_names(block: Sequence[str | int]) -> Mapping[str, str]:
    """Return present names by older ones, for the settings of the block at a path."""
    if len(block) == 1:
        return OLDER_NAMES.get((str(block[0]),), _NONE)
    return OLDER_NAMES.get((str(block[0]), "*"), _NONE) if len(block) == 2 else _NONE


def older_names(block: Sequence[str | int], name: str | int) -> list[str]:
    """Return the names that a setting of the block at a path had before."""
    return [older for older, present in present_names(block).items() if present == name]
