"""What the attempts of one request come to: no figure is lost or counted twice, and shares stay within the hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.counts import Counts
from proxy.pipeline.settlement.sum_attempts import SettledAttempt, add_up, held_pusd, rest, share, total_settlement
from proxy.pipeline.values.settlement import HUNG_UP, OVER, UNKNOWN, UNMETERED, Settlement, State
from proxy.storage.rows import AttemptEnd, RequestEnd, Reserved
from tests.storage.made_requests import open_row, request_end

END = AttemptEnd(1, 1, "ok", 200, "m", "host", "gen-1", None, None, None, None, None, "none", 7, 8)


def verdict(state: State, cost_pusd: int | None, source: str = "provider", *flags: str) -> Settlement:
    return Settlement(state, cost_pusd, source, frozenset(flags))


def part(
    settled: Settlement, tokens: tuple[int, int] | None = None, held: tuple[int | None, int | None] = (None, None)
) -> SettledAttempt:
    """Return an attempt with its tokens, in and out, and the share of the reservation that stands in its row."""
    sent, said = (None, None) if tokens is None else tokens
    end = END._replace(
        input_tokens=sent,
        output_tokens=said,
        cost_pusd=settled.cost_pusd,
        reserved_pusd=held[0],
        reserved_tokens=held[1],
    )
    return SettledAttempt(settled, end)


def request() -> RequestEnd:
    return request_end(open_row(1))


FREE = verdict("released", 0, "none")
PAID = verdict("settled", 300)
GUESSED = verdict("settled", 500, "reservation", UNMETERED)
AWAITED = verdict("pending", None, "none")
UNTOLD = verdict("settled", None, "none", UNKNOWN)


@pytest.mark.parametrize(
    ("verdicts", "wanted"),
    [
        ([FREE, FREE], verdict("released", 0, "none")),
        ([FREE, PAID], verdict("settled", 300)),
        ([PAID, PAID, FREE], verdict("settled", 600)),
        ([PAID, GUESSED], verdict("settled", 800, "reservation", UNMETERED)),  # as sure as the least sure
        ([PAID, AWAITED], verdict("pending", None, "none")),  # nothing is told before all is known
        ([AWAITED, FREE], verdict("pending", None, "none")),
        ([UNTOLD, FREE], verdict("settled", None, "none", UNKNOWN)),
        ([UNTOLD, PAID], verdict("settled", 300, "provider", UNKNOWN)),  # what is known is booked, and the doubt stays
        ([verdict("settled", 0, "price"), PAID], verdict("settled", 300)),  # what cost nothing makes nothing less sure
        ([verdict("settled", 0, "price"), FREE], verdict("settled", 0, "price")),
        ([verdict("settled", 3, "generation", HUNG_UP, OVER), PAID], verdict("settled", 303, "generation", HUNG_UP)),
    ],
)
def test_the_verdict_on_a_request(verdicts: list[Settlement], wanted: Settlement) -> None:
    assert total_settlement(verdicts, None) == wanted


def test_more_than_was_held_is_flagged_by_the_sum_alone() -> None:
    """An attempt may be above its share while the request is within its hold, and the other way about."""
    assert OVER not in total_settlement([verdict("settled", 700, "provider", OVER), FREE], 700).flags
    assert OVER in total_settlement([PAID, PAID], 599).flags
    assert OVER not in total_settlement([PAID, PAID], None).flags


@pytest.mark.parametrize(
    ("settled", "tokens", "maybe_billed", "wanted"),
    [
        (FREE, None, False, Reserved(0, 0)),  # certainly not billed: all of it is left to the next
        (FREE, None, True, Reserved(400, 50)),  # it may be billed: the worst case, and all tokens, go along
        (PAID, (3, 4), False, Reserved(300, 7)),
        (PAID, None, False, Reserved(300, 50)),
        (AWAITED, None, True, Reserved(400, 50)),
        (UNTOLD, (3, 4), False, Reserved(400, 7)),
        (verdict("settled", 2000), (300, 4), False, Reserved(1000, 50)),  # never more than is left
    ],
)
def test_the_share_of_an_attempt(
    settled: Settlement, tokens: tuple[int, int] | None, maybe_billed: bool, wanted: Reserved
) -> None:
    assert share(part(settled, tokens), Reserved(1000, 50), 400, maybe_billed=maybe_billed) == wanted


def test_a_share_where_nothing_is_held_or_bounded() -> None:
    assert share(part(AWAITED), Reserved(None, None), 400, maybe_billed=True) == Reserved(None, None)
    assert share(part(AWAITED), Reserved(1000, None), None, maybe_billed=True) == Reserved(1000, None)


def test_the_end_of_a_request() -> None:
    first = part(verdict("settled", 500, "reservation", UNMETERED), None, (500, 20))
    first = first._replace(end=first.end._replace(counts=Counts(cache_write_tokens=2)))
    last = part(PAID, (3, 4))
    last = last._replace(
        end=last.end._replace(outcome="broken", status=502, served_by="b", generation_id="gen-2", cached_tokens=1)
    )
    end = add_up(request(), [first, last], Reserved(1000, 50))
    assert (end.cost_pusd, end.cost_source, end.state, end.flags) == (800, "reservation", "settled", UNMETERED)
    assert (end.input_tokens, end.output_tokens, end.cached_tokens, end.reasoning_tokens) == (3, 4, 1, None)
    assert (end.attempts, end.outcome, end.upstream_status) == (2, "broken", 502)
    assert (end.served_by, end.generation_id) == ("b", "gen-2")
    assert end.uncounted_tokens == 20  # of the first nobody counted any; the last has its own figures
    assert end.counts == Counts(cache_write_tokens=2)


def test_the_rest_of_the_hold_stands_for_the_last() -> None:
    parts = [part(FREE, None, (0, 0)), part(GUESSED, None, (500, 20)), part(verdict("settled", 400, "price"))]
    assert rest(Reserved(1000, 50), [one.end for one in parts[:-1]]) == Reserved(500, 30)
    assert add_up(request(), parts, Reserved(1000, 50)).uncounted_tokens == 20 + 30
    assert held_pusd([*parts[:-1], part(AWAITED)], Reserved(1000, 50)) == 0 + 500 + 500
    assert add_up(request(), [*parts[:-1], part(AWAITED)], Reserved(1000, 50)).uncounted_tokens == 0


_COSTS = st.integers(0, 2000)
_VERDICTS = st.one_of(
    st.just(FREE),
    st.just(AWAITED),
    st.just(UNTOLD),
    st.builds(lambda pusd, source: verdict("settled", pusd, source), _COSTS, st.sampled_from(["provider", "price"])),
)
_ATTEMPTS = st.tuples(
    _VERDICTS, st.none() | st.tuples(st.integers(0, 40), st.integers(0, 40)), st.none() | _COSTS, st.booleans()
)


@given(st.lists(_ATTEMPTS, min_size=1, max_size=6), st.integers(0, 4000), st.integers(0, 100))
def test_any_attempts(
    attempts: list[tuple[Settlement, tuple[int, int] | None, int | None, bool]], held: int, tokens: int
) -> None:
    """Shares never come to more than was held, and what is known of each is in the sum to the pico-USD."""
    reserved = left = Reserved(held, tokens)
    parts = []
    for settled, counted, bound_pusd, maybe_billed in attempts:
        own = share(part(settled, counted), left, bound_pusd, maybe_billed=maybe_billed)
        parts.append(part(settled, counted, (own.cost_pusd, own.tokens)))
        left = left.without(*own)
        assert min(left.cost_pusd or 0, left.tokens or 0) >= 0
        assert left.cost_pusd == held - sum(one.end.reserved_pusd or 0 for one in parts)
    end = add_up(request(), parts, reserved)
    charged = [one.settlement.cost_pusd for one in parts if one.settlement.state == "settled"]
    known = [cost_pusd for cost_pusd in charged if cost_pusd is not None]
    assert end.cost_pusd == {"pending": None, "released": 0, "settled": sum(known) if known else None}[end.state]
    sent = [counted[0] for _, counted, _, _ in attempts if counted is not None]
    assert end.input_tokens == (sum(sent) if sent else None)
    assert 0 <= end.uncounted_tokens <= tokens
    assert held_pusd(parts, reserved) >= sum(known)
