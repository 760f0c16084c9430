"""Ids hold the time at which a request began."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.storage.rows import INTEGER_MAX, RequestIds, id_floor, ms_of

_YEAR_2109_MS = 1 << 42  # in which the bits end


@given(st.integers(-(1 << 70), 1 << 70), st.integers(-(1 << 70), 1 << 70))
def test_every_time_has_a_bound_that_sqlite_takes(one_ms: int, other_ms: int) -> None:
    """In the order of time; before 1970 it is the first, and from the year 2109 on the last of all."""
    first, last = (id_floor(ms) for ms in sorted((one_ms, other_ms)))
    assert 0 <= first <= last <= INTEGER_MAX
    assert (id_floor(-1), id_floor(_YEAR_2109_MS), id_floor(1 << 70)) == (0, INTEGER_MAX, INTEGER_MAX)


@given(st.integers(1, _YEAR_2109_MS - 1))
def test_it_is_the_id_of_the_first_request_of_its_time(now_ms: int) -> None:
    assert RequestIds(0).next(now_ms) == id_floor(now_ms)
    assert ms_of(id_floor(now_ms)) == now_ms
