"""Differences in words: every class has a sentence that names what it is of, and what follows."""

import re

import pytest

from proxy.policy.reconciliation.day_comparison import DriftEntry
from proxy.policy.reconciliation.drift_class import DRIFT_CLASSES
from proxy.policy.reconciliation.drift_sentence import drift_sentence


@pytest.mark.parametrize("name", [each.name for each in DRIFT_CLASSES])
@pytest.mark.parametrize("actual", [None, 250_000_000])
@pytest.mark.parametrize("ids", [(7, "gen-1"), (None, "gen-1"), (None, None)])
def test_each_class_is_told(name: str, actual: int | None, ids: tuple[int | None, str | None]) -> None:
    entry = DriftEntry(name, -50_000_000, *ids, "abcdef0123456789", "a/m", 0, 300_000_000, 250_000_000, actual)
    text = drift_sentence(entry, "req_7" if ids[0] else None, None)
    assert "-$0.00005" in text
    assert "abcdef01…" in text
    assert ("req_7" in text) is (ids[0] is not None)
    assert re.fullmatch(r"[^.]+: .+\.", text)
    assert ("booked at $0.00025" in text) is (actual is not None)


@pytest.mark.parametrize(
    "name", ["refunded", "estimated", "reservation_charged", "pending", "outside_call", "lost_row"]
)
def test_what_lies_below_zero_is_never_booked_and_no_yet_is_promised(name: str) -> None:
    for request_id, request in ((7, "req_7"), (None, None)):
        entry = DriftEntry(name, -350, request_id, "gen-1", "k", "a/m", 0, 300, -50, None)
        text = drift_sentence(entry, request, None)
        assert "booked yet" not in text
        assert "no call costs less than nothing, so it is not booked by itself." in text
        assert ("adjustments book req_7 --actual 0 --reason TEXT" in text) is (request is not None)
        assert ("Ask the provider." in text) is (request is None)
        assert "the bill -$0.00000000005" in text
    for booked in (0, -50):
        waits = DriftEntry(name, 10, 7, "gen-1", "k", "a/m", 0, booked, booked + 10 if booked >= 0 else 0, None)
        assert "less than nothing" not in drift_sentence(waits, "req_7", None)


def test_a_key_is_told_by_its_name() -> None:
    entry = DriftEntry("outside_call", 5, None, "gen-1", "abcdef", "", 0, 0, 5, 5)
    assert "with the key main:" in drift_sentence(entry, None, "main")
