"""Time in pieces that lie in one window each: without a gap, in order, with the labels of their windows."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.quota.window import window_bounds
from proxy.policy.time_segments import TIME_WORDS, label_order, time_segments

HOUR_MS = 3_600_000
ZONES = ("UTC", "Europe/Stockholm", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata", "Africa/Cairo")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@settings(max_examples=80, deadline=None)
@given(
    start_ms=st.integers(ms("2026-01-01T00:00Z"), ms("2027-12-31T00:00Z")),
    length_ms=st.integers(0, 40 * 24 * HOUR_MS),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    words=st.lists(st.sampled_from(TIME_WORDS), unique=True),
)
def test_pieces_fill_the_time_and_cross_no_window(
    start_ms: int, length_ms: int, zone: ZoneInfo, words: list[str]
) -> None:
    pieces = list(time_segments(start_ms, start_ms + length_ms, zone, words))
    at_ms = start_ms
    for labels, piece_ms, end_ms in pieces:
        assert piece_ms == at_ms < end_ms
        at_ms = end_ms
        assert len(labels) == len(words)
        for word in words:
            assert window_bounds(word, zone, piece_ms) == window_bounds(word, zone, end_ms - 1)
    assert at_ms == start_ms + length_ms
    assert len({piece.labels for piece in pieces}) == len(pieces)


@pytest.mark.parametrize(
    ("at", "zone", "labels"),
    [
        ("2026-11-03T14:30Z", "UTC", ("2026-11-03T14:00+00:00", "2026-11-03", "2026-W45", "2026-11")),
        ("2027-01-01T12:00Z", "UTC", ("2027-01-01T12:00+00:00", "2027-01-01", "2026-W53", "2027-01")),
        ("2026-10-25T00:30Z", "Europe/Stockholm", ("2026-10-25T02:00+02:00", "2026-10-25", "2026-W43", "2026-10")),
        ("2026-10-25T01:30Z", "Europe/Stockholm", ("2026-10-25T02:00+01:00", "2026-10-25", "2026-W43", "2026-10")),
    ],
)
def test_labels(at: str, zone: str, labels: tuple[str, ...]) -> None:
    [piece] = time_segments(ms(at), ms(at) + 1, ZoneInfo(zone), TIME_WORDS)
    assert piece.labels == labels
    assert datetime.fromtimestamp(piece.start_ms / 1000, UTC) == datetime.fromisoformat(at)


@pytest.mark.parametrize("zone", [*ZONES, "Europe/Berlin", "America/New_York", "Antarctica/Troll", "Asia/Kathmandu"])
@pytest.mark.parametrize("month", [3, 4, 9, 10, 11])
def test_labels_of_hours_sort_as_time_goes(zone: str, month: int) -> None:
    start_ms = int(datetime(2026, month, 1, tzinfo=UTC).timestamp() * 1000)
    found = [one.labels[0] for one in time_segments(start_ms, start_ms + 31 * 86_400_000, ZoneInfo(zone), ("hour",))]
    assert sorted(found, key=label_order) == found


@pytest.mark.parametrize(
    "text", ["", "anna", "2026-10-25", "2026-W43", "9999-99-99T99:99+99:99", "0001-01-01T00:00+14:00"]
)
def test_what_is_no_hour_sorts_as_it_is(text: str) -> None:
    assert label_order(text) == text
