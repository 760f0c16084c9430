"""What a key has counted beside the ledger, in plain words."""

from collections.abc import Sequence
from typing import Final

from proxy.core.money import pusd_to_usd
from proxy.policy.reconciliation.key_comparison import KeyDrift
from proxy.policy.reconciliation.key_reason import part_sentence

_WHEN: Final = {"day": "Today", "week": "Since Monday", "month": "This month"}


def key_sentence(one: KeyDrift, names: Sequence[str]) -> str:
    """Return the sentences of a window. names: all that the key has here, as provider/key."""
    both = f"the provider has counted ${pusd_to_usd(one.billed_pusd)}, the ledger has ${pusd_to_usd(one.booked_pusd)}"
    sentences = [f"{_WHEN[one.window]} (UTC, from {one.since_day}) {both}."]
    if one.known_pusd:
        known = f"-${pusd_to_usd(-one.known_pusd)}" if one.known_pusd < 0 else f"+${pusd_to_usd(one.known_pusd)}"
        sentences.append(f"{known} the comparisons of its days have found: tollkeeper reconcile --explain.")
    sentences += map(part_sentence, one.parts)
    if len(names) > 1:
        sentences.append(f"The key is {' and '.join(names)} here, and is counted once.")
    if one.replaced_pusd:
        amount = f"${pusd_to_usd(one.replaced_pusd)}"
        text = f"{amount} more is booked for another key that had its name before: what that one has counted is told to"
        sentences.append(f"{text} it alone, and it is not compared.")
    if one.users_pusd:
        text = f"${pusd_to_usd(one.users_pusd)} more is booked for keys of users' own at the same provider"
        sentences.append(f"{text}: their accounts are billed, and it is not compared.")
    return " ".join(sentences)
