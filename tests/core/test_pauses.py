"""When a process that gives way stands still, and for how long."""

from typing import NamedTuple

import pytest

from proxy.core.pauses import PauseLook, Pauses


class Seen(NamedTuple):
    """A look: at s, computed ms, how often taken off, when others wrote; and how many ms of pause follow it."""

    at_s: float
    computed_ms: float
    taken_off: int
    changed_ns: int | None
    pause_ms: float


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([Seen(0.01, 10, 0, 7, 0), Seen(0.02, 20, 0, 7, 0)], id="nothing else runs"),
        pytest.param(
            [Seen(0.01, 10, 3, 7, 0), Seen(0.02, 20, 9, 7, 0)], id="crowded by others that are not waited for"
        ),
        pytest.param([Seen(0.01, 10, 3, None, 0), Seen(0.02, 20, 9, None, 0)], id="nobody has ever written"),
        pytest.param([Seen(0.01, 10, 0, 8, 0), Seen(0.02, 20, 0, 9, 0)], id="others find processors of their own"),
        pytest.param([Seen(0.01, 10, 1, 8, 30), Seen(0.04, 14, 2, 9, 12)], id="three times as long as it computed"),
        pytest.param([Seen(0.01, 10, 1, 8, 30), Seen(0.05, 14, 1, 8, 12)], id="still so a moment later"),
        pytest.param([Seen(0.01, 10, 1, 8, 30), Seen(0.12, 14, 1, 9, 0)], id="not taken off for a tenth of a second"),
        pytest.param(
            [Seen(0.01, 10, 1, 8, 30), Seen(1.0, 14, 2, 8, 12), Seen(1.1, 18, 3, 8, 0)], id="others have gone"
        ),
        pytest.param([Seen(0.01, 10, 1, 8, 30), Seen(1.2, 14, 2, 8, 0), Seen(1.3, 18, 3, 9, 12)], id="and come back"),
        pytest.param([Seen(0.01, 10, 1, None, 0), Seen(0.02, 14, 2, 9, 12)], id="the first who writes"),
        pytest.param([Seen(0.5, 500, 1, 8, 100)], id="long without a look, and no longer than a tenth of a second"),
    ],
)
def test_it_stands_still_beside_others_that_want_its_processor(looks: list[Seen]) -> None:
    pauses = Pauses(PauseLook(0.0, 0.0, 0, looks[0].changed_ns and 7))
    found = [
        pauses.pause_s(PauseLook(one.at_s, one.computed_ms / 1000, one.taken_off, one.changed_ns)) for one in looks
    ]
    assert [round(pause_s * 1000, 6) for pause_s in found] == [one.pause_ms for one in looks]
