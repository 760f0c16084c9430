"""Some changes at once, then one each few seconds, for each name alone."""

from proxy.policy.change_pace import BURST, EVERY_S, ChangePace


def test_some_at_once_then_one_each_few_seconds() -> None:
    pace = ChangePace()
    assert [pace.wait_s("bo", 100.0) for _ in range(BURST)] == [0.0] * BURST
    assert pace.wait_s("bo", 100.0) == EVERY_S
    assert pace.wait_s("eve", 100.0) == 0.0, "each name has its own"
    assert pace.wait_s("bo", 100.0 + EVERY_S - 1) == 1.0
    assert pace.wait_s("bo", 100.0 + EVERY_S) == 0.0
    assert pace.wait_s("bo", 100.0 + EVERY_S) == EVERY_S
    assert [pace.wait_s("bo", 10_000.0) for _ in range(BURST + 1)][-1] == EVERY_S, "it fills to the brim, no further"


def test_names_do_not_fill_memory() -> None:
    pace = ChangePace()
    for n in range(3000):
        pace.wait_s(f"user-{n}", 1.0)
    assert len(pace._full_at_s) == 1000
