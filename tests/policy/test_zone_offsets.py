"""Steps of a zone say for each moment what the zone itself says."""

from bisect import bisect_right
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.zone_offsets import offset_steps

FIRST_MS, LAST_MS = 1_420_070_400_000, 2_366_841_600_000  # of the years 2015 to 2044
ZONES = ("UTC", "Europe/Stockholm", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Asia/Gaza")


@given(st.sampled_from(ZONES), st.integers(FIRST_MS, LAST_MS - 1))
def test_the_offset_of_each_moment(name: str, at_ms: int) -> None:
    zone = ZoneInfo(name)
    steps = offset_steps(zone)
    found = steps[bisect_right([step.from_ms for step in steps], at_ms) - 1].offset_ms
    exact = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone).utcoffset()
    assert exact is not None
    assert found == exact.total_seconds() * 1000


@pytest.mark.parametrize("name", ZONES)
def test_steps_begin_with_a_change(name: str) -> None:
    zone = ZoneInfo(name)
    steps = offset_steps(zone)
    assert steps[0].from_ms == 0
    for before, step in pairwise(steps):
        assert before.offset_ms != step.offset_ms
        just_before = datetime.fromtimestamp(step.from_ms / 1000 - 1, UTC).astimezone(zone).utcoffset()
        assert just_before is not None
        assert just_before.total_seconds() * 1000 == before.offset_ms
