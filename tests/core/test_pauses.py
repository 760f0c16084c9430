"""When a process that gives way stands still, and for how long."""

from typing import NamedTuple

import pytest

from proxy.core.pauses import PauseLook, Pauses


class Seen(NamedTuple):
    """A look: at s, computed ms, how often taken off, when others wrote; and how many ms of pause follow it."""

    at_s: float
    computed_ms: float
    taken_off: int
    changes: int | None
    pause_ms: float


BUSY = [Seen(0.01, 4, 1, 1, 0), Seen(0.02, 8, 2, 2, 0), Seen(0.03, 12, 3, 3, 12)]


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([Seen(0.01, 10, 0, 0, 0), Seen(0.02, 20, 0, 0, 0)], id="nothing else runs"),
        pytest.param([Seen(n / 100, n * 10, n, 0, 0) for n in range(1, 9)], id="crowded by who is not waited for"),
        pytest.param([Seen(n / 100, n * 10, n, None, 0) for n in range(1, 9)], id="nobody has ever written"),
        pytest.param([Seen(n / 100, n * 10, 0, n, 0) for n in range(1, 9)], id="others find processors of their own"),
        pytest.param([Seen(n / 8, n * 10, n, n, 0) for n in range(1, 9)], id="written now and then"),
        pytest.param(BUSY, id="the third sign within a fifth of a second"),
        pytest.param([*BUSY, Seen(0.05, 17, 4, 4, 15)], id="three times as long as it computed"),
        pytest.param([*BUSY, Seen(0.12, 17, 3, 4, 15)], id="still so a moment after it was taken off"),
        pytest.param([*BUSY, Seen(0.13, 17, 3, 4, 0)], id="not taken off for a tenth of a second"),
        pytest.param([*BUSY, Seen(1.0, 17, 4, 3, 15), Seen(1.1, 22, 5, 3, 0)], id="others have gone"),
        pytest.param(
            [*BUSY, *(Seen(2 + n / 100, 12 + n * 4, 3 + n, 3 + n, 12 if n > 2 else 0) for n in range(1, 5))],
            id="others have come back",
        ),
        pytest.param([*BUSY, Seen(0.1, 500, 4, 4, 50)], id="long without a look, and no longer than a twentieth"),
    ],
)
def test_it_stands_still_beside_others_that_want_its_processor(looks: list[Seen]) -> None:
    pauses = Pauses(PauseLook(0.0, 0.0, 0, None if looks[0].changes is None else 0))
    found = [pauses.pause_s(PauseLook(one.at_s, one.computed_ms / 1000, one.taken_off, one.changes)) for one in looks]
    assert [round(pause_s * 1000, 6) for pause_s in found] == [one.pause_ms for one in looks]


def test_at_a_start_others_are_expected() -> None:
    """Without a sign of them, but only where somebody takes the processor."""
    pauses = Pauses(PauseLook(0.0, 0.0, 0, None), expected_s=0.5)
    looks = [(0.1, 0.01, 0), (0.2, 0.02, 1), (0.49, 0.03, 2), (0.51, 0.04, 3)]
    assert [round(pauses.pause_s(PauseLook(*look, None)), 6) for look in looks] == [0.0, 0.03, 0.03, 0.0]


def test_who_looks_is_not_taken_for_others() -> None:
    """The thread that looks takes a process off its processor some times, for some hundredths of what it computes.

    A short command does not stand still for that.
    """
    pauses = Pauses(PauseLook(0.0, 0.0, 0, None), expected_s=2.0, is_short=True)
    alone = [PauseLook(n / 100, n / 100, n * 4, None, n * 0.0004) for n in range(1, 20)]
    assert not any(map(pauses.pause_s, alone))
    assert pauses.pause_s(PauseLook(0.2, 0.2, 78, None, 0.0085)) > 0  # it has waited for somebody


def test_the_first_look_at_a_file_is_no_sign() -> None:
    pauses = Pauses(PauseLook(0.0, 0.0, 0, None), expected_s=2.0)
    pauses.expect_signs(0.1, 7)
    pauses.pause_s(PauseLook(0.12, 0.01, 1, 7))
    assert pauses.is_in_company(0.2)
    assert not pauses.is_in_company(0.31)
    pauses.pause_s(PauseLook(0.32, 0.02, 1, 8))
    assert pauses.is_in_company(0.35)


def test_once_it_is_known_how_others_show_they_have_to() -> None:
    """They are expected for as long as that may take."""
    pauses = Pauses(PauseLook(0.0, 0.0, 0, 0), expected_s=2.0)
    pauses.expect_signs(0.1, 0)
    looks = [(0.2, 0.01, 1, 0), (0.29, 0.02, 2, 0), (0.31, 0.03, 3, 0)]
    assert [round(pauses.pause_s(PauseLook(*look)), 6) for look in looks] == [0.03, 0.03, 0.0]


def test_it_is_in_company_from_the_first_sign_on() -> None:
    pauses = Pauses(PauseLook(0.0, 0.0, 0, 0))
    assert not pauses.is_in_company(0.0)
    pauses.pause_s(PauseLook(0.1, 0.01, 0, 1))
    assert pauses.is_in_company(0.29)
    assert not pauses.is_in_company(0.31)
    for n in range(3):
        pauses.pause_s(PauseLook(1 + n / 100, 0.02, 0, 2 + n))
    assert pauses.is_in_company(2.0)
    assert not pauses.is_in_company(2.1)
