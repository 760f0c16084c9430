"""How models answered: what a request adds, and that sums of counts lose nothing whatever form they have."""

from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.histogram import BOUNDS, RELATIVE_ERROR
from proxy.storage.performance import (
    FIRST_TOKEN,
    PLACES,
    SPEED,
    Histograms,
    PerformanceFilter,
    add_counts,
    read_counts,
    sum_answers,
    write_counts,
)
from proxy.storage.sqlite.reports import SqliteReports
from tests.storage.made_requests import START_MS, opened, read, request_end, running

PLACE_LISTS = st.lists(
    st.builds(
        lambda places, times: places * times, st.lists(st.integers(0, PLACES - 1)), st.sampled_from((1, 40, 300))
    ),
    max_size=12,
)


@given(PLACE_LISTS)
@example([[1] * 1000, [2] * 1000, [3]])  # longer than what is only appended
def test_added_counts_are_the_sum(many: list[list[int]]) -> None:
    value, expected = b"", Counter[int]()
    for places in many:
        value = add_counts(value, bytes(places))
        expected.update(places)
        assert +read_counts(value) == expected
    assert +read_counts(write_counts(expected)) == expected
    histograms = Histograms.of_counts([value, b"", bytes([0, PLACES - 1])])
    assert sum(map(sum, histograms)) == expected.total() + 2
    assert histograms.latency[0] == expected[0] + 1


@given(st.dictionaries(st.integers(0, PLACES - 1), st.integers(1, 1 << 40), max_size=PLACES))
def test_large_counts_are_kept(total: dict[int, int]) -> None:
    assert read_counts(write_counts(total)) == total


def test_what_a_request_adds() -> None:
    """Failures and those who hung up are in no histogram; a whole answer has no first token."""
    assert sum_answers([(200, None, 1, 100, 1100, 50, 1)])[:-1] == (1, 0, 1, 1100, 1, 100)
    assert sum_answers([(200, None, 0, 100, 1100, 50, 0)])[:-1] == (1, 0, 0, 1100, 0, 0)
    assert sum_answers([(499, None, 1, 100, 1100, 50, 1), (502, "upstream_error", 0, None, 9, None, 1)]) == (
        *(0, 1, 0, 0, 0, 0),
        b"",
    )
    assert sum_answers([(200, None, 0, 1, -1, 5, 0), (200, None, 1, -5, 9, -5, 0)])[:-1] == (1, 0, 0, 9, 1, -5)
    assert sum_answers([(200, None, 0, None, None, 5, 0)]) == (0, 0, 0, 0, 0, 0, b"")
    places = list(sum_answers([(200, None, 1, 100, 1100, 50, 0)])[-1])
    assert [place // FIRST_TOKEN for place in places] == [0, 1, 2]
    speed = BOUNDS[places[2] - SPEED]
    assert 5000 <= speed <= 5000 * (1 + RELATIVE_ERROR)  # 50 tokens in a second, in hundredths


async def test_the_roll_up_holds_each_request_once(tmp_path: Path) -> None:
    """In one row for each group of sums, beyond the length at which counts are summed; pending ones when they end."""
    path = tmp_path / "ledger.db"
    expected = Counter[int]()
    async with running(path) as ledger:
        for n in range(300):
            row = await opened(ledger, streamed=n % 2)
            told: dict[str, Any] = {"ttft_ms": n, "duration_ms": 7 * n, "output_tokens": n, "fell_back": n % 3 == 0}
            if n % 50 == 1:
                told |= {"status": 499}
            if n % 50 == 2:
                told |= {"error": "upstream_error", "status": 502}
            end = request_end(row, **told)
            if n % 7 == 0:
                pending = end._replace(state="pending", cost_pusd=None, cost_source="none")
                await ledger.end(pending)
            await ledger.end(end)
            facts = (
                end.status,
                end.error,
                end.streamed,
                end.ttft_ms,
                end.duration_ms,
                end.output_tokens,
                end.fell_back,
            )
            expected.update(sum_answers([facts])[-1])
        [(counts, answered, cancelled, requests)] = read(
            path, "SELECT counts, answered, cancelled, requests FROM usage_hourly"
        )
        assert (answered, cancelled, requests) == (288, 6, 300)
        assert +read_counts(counts) == expected
        assert len(counts) < 600
        [found] = SqliteReports(path).model_performance(PerformanceFilter(since_ms=START_MS, model="p/*"))
        assert (found.errors, found.sums.first_tokens) == (6, 144)
        assert sum(found.histograms.latency) == 288
        assert not SqliteReports(path).model_performance(PerformanceFilter(until_ms=START_MS - 7_200_000))
