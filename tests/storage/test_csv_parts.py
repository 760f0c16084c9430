"""An export is shared in parts of about as many rows, which together are what was to be exported."""

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.storage.rows import id_floor
from proxy.storage.sqlite.csv_lines import IdSpan
from proxy.storage.sqlite.csv_parts import PARTS_MAX, parts_of

_HOUR_MS = 3_600_000
_START_MS = 497_222 * _HOUR_MS
_ROWS = 1000
_HOURS = st.dictionaries(st.integers(-2, 50), st.integers(0, 50_000), max_size=30)
_MOMENTS = st.integers(0, 48 * _HOUR_MS)


def span_of(begin_ms: int, end_ms: int) -> IdSpan:
    return IdSpan(id_floor(_START_MS + begin_ms), id_floor(_START_MS + end_ms))


def rows_in(part: IdSpan, counts: dict[int, int]) -> float:
    """Return how many rows a part has where those of an hour came evenly."""
    found = 0.0
    for hour, count in counts.items():
        begin = id_floor(_START_MS + hour * _HOUR_MS)
        end = begin + id_floor(_HOUR_MS)
        found += count * max(0, min(end, part.upto) - max(begin, part.after)) / (end - begin)
    return found


@given(begin_ms=_MOMENTS, end_ms=_MOMENTS, counts=_HOURS)
def test_parts_are_the_whole_and_of_one_size(begin_ms: int, end_ms: int, counts: dict[int, int]) -> None:
    ids = span_of(min(begin_ms, end_ms), max(begin_ms, end_ms) + 1)
    hours = [(_START_MS + hour * _HOUR_MS, count) for hour, count in sorted(counts.items())]
    parts = parts_of(ids, hours, _ROWS)
    assert [parts[0].after, *(part.upto for part in parts)] == [*(part.after for part in parts), ids.upto]
    assert parts[0].after == ids.after
    assert all(part.after < part.upto for part in parts)
    sizes = [rows_in(part, counts) for part in parts]
    assert all(_ROWS - 2 < size < _ROWS + 2 for size in sizes[:-1])
    assert sizes[-1] < _ROWS + 2


def test_a_busy_hour_is_shared() -> None:
    """An hour with as many requests as the ninety days before it is half of the parts."""
    hours = [(_START_MS + n * _HOUR_MS, 10 if n < 2160 else 21_600) for n in range(2161)]
    parts = parts_of(span_of(0, 2161 * _HOUR_MS), hours, 1080)
    assert len(parts) == 40
    assert sum(part.after >= id_floor(_START_MS + 2160 * _HOUR_MS) for part in parts) in (19, 20)


@given(counts=st.dictionaries(st.integers(0, 47), st.integers(-5, 10**12), max_size=30), rows=st.integers(1, 10**6))
@settings(max_examples=20)
def test_parts_stay_few_whatever_is_counted(counts: dict[int, int], rows: int) -> None:
    """A roll-up that is damaged counts what was never there."""
    ids = span_of(0, 48 * _HOUR_MS)
    parts = parts_of(ids, [(_START_MS + hour * _HOUR_MS, count) for hour, count in sorted(counts.items())], rows)
    assert len(parts) <= PARTS_MAX + 1
    assert [parts[0].after, *(part.upto for part in parts)] == [*(part.after for part in parts), ids.upto]


def test_rows_that_no_hour_counts_are_one_part() -> None:
    ids = span_of(0, _HOUR_MS)
    assert parts_of(ids, []) == [ids]
