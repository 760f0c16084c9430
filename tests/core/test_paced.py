"""A paced loop yields all items in order, and rests after every so many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.paced import paced


@given(st.lists(st.integers(), max_size=50), st.integers(1, 9))
def test_all_items_in_order_with_rests(items: list[int], each: int) -> None:
    seen: list[int | None] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proxy.core.paced.time.sleep", lambda pause_s: seen.append(None if pause_s > 0 else 0))
        for item in paced(iter(items), each):
            seen.append(item)  # noqa: PERF402 - in between come the rests
    assert [item for item in seen if item is not None] == items
    runs = [len(run) for run in "".join("r" if item is None else "i" for item in seen).split("r")]
    assert max(runs) <= each
    assert runs.count(0) <= 1
