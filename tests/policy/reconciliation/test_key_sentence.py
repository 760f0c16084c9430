"""What a key has counted, in sentences."""

from proxy.policy.reconciliation.key_comparison import KeyDrift
from proxy.policy.reconciliation.key_reason import KeyPart
from proxy.policy.reconciliation.key_sentence import key_sentence

USD = 10**12


def test_a_window_without_a_difference_is_one_sentence() -> None:
    found = key_sentence(KeyDrift("week", "2026-11-30", 2 * USD, 2 * USD, 0), ["openrouter/main"])
    wanted = "Since Monday (UTC, from 2026-11-30) the provider has counted $2, the ledger has $2."
    assert found == wanted


def test_each_thing_that_matters_has_a_sentence() -> None:
    parts = (KeyPart("pending", USD), KeyPart("unknown", 3 * USD))
    drift = KeyDrift("day", "2026-12-02", 0, 3 * USD, -USD, parts, 1, 5 * USD, 6 * USD)
    found = key_sentence(drift, ["openrouter/main", "openrouter/spare"])
    assert "-$1 the comparisons of its days have found" in found
    assert "+$1 may be of requests whose cost the proxy still waits for." in found
    assert "+$3 nothing explains" in found
    assert "The key is openrouter/main and openrouter/spare here, and is counted once." in found
    assert "$5 more is booked for another key that had its name before" in found
    assert "$6 more is booked for keys of users' own" in found
