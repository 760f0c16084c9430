"""Calls on the bill against requests that never learnt their generation id."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.reconciliation.call_matching import EARLY_MS, LATE_MS, UnclaimedCall, UnnamedRequest, match_calls

_FAR_MS = 10**9


def request(
    id_: int, start_ms: int, end_ms: int | None = None, *, key: str = "k", model: str = "a/m", session: str = ""
) -> UnnamedRequest:
    return UnnamedRequest(id_, key, model, start_ms + _FAR_MS, None if end_ms is None else end_ms + _FAR_MS, session)


def call(id_: str, at_ms: int, *, key: str = "k", model: str = "a/m", session: str = "") -> UnclaimedCall:
    return UnclaimedCall(id_, key, model, at_ms + _FAR_MS, session)


def test_a_call_within_the_time_of_one_request_is_it() -> None:
    found = match_calls([request(1, 0, 2_000), request(2, 100_000, 102_000)], [call("g", 101_000)])
    assert found.pairs == {"g": 2}
    assert not found.doubtful_calls
    assert not found.doubtful_requests


def test_another_key_model_or_time_is_no_match() -> None:
    own = [request(1, 0, 2_000)]
    for stranger in (
        call("g", 1_000, key="other"),
        call("g", 1_000, model="a/other"),
        call("g", -EARLY_MS - 1),
        call("g", 2_000 + LATE_MS + 1),
    ):
        assert not match_calls(own, [stranger]).pairs
    assert match_calls(own, [call("g", 1_000, model="")]).pairs == {"g": 1}
    assert match_calls(own, [call("g", 1_000, model="a/m-2026-01-01")]).pairs == {"g": 1}
    assert match_calls(own, [call("g", -EARLY_MS)]).pairs == {"g": 1}
    assert match_calls(own, [call("g", 2_000 + LATE_MS)]).pairs == {"g": 1}


def test_a_session_tells_those_apart_that_time_does_not() -> None:
    own = [request(1, 0, 20_000, session="a"), request(2, 0, 20_000, session="b"), request(3, 0, 20_000)]
    assert match_calls(own[:2], [call("g", 1_000, session="b"), call("h", 2_000, session="a")]).pairs == {
        "g": 2,
        "h": 1,
    }
    assert match_calls(own, [call("g", 1_000, session="b"), call("h", 2_000)]).pairs == {"g": 2, "h": 1}
    assert match_calls(own[2:], [call("g", 1_000, session="b")]).pairs == {"g": 3}  # it may not have passed it on
    assert match_calls(own[:2], [call("g", 1_000, model="a/router", session="b")]).pairs == {"g": 2}
    named = match_calls(own[:1], [call("g", 1_000, session="a"), call("h", 1_000, model="a/router", session="a")])
    assert named.pairs == {"g": 1}
    strange = match_calls(own[:2], [call("g", 1_000, session="c")])
    assert not strange.pairs
    assert not strange.doubtful_calls


def test_a_request_of_several_attempts_may_be_several_calls() -> None:
    own = [request(1, 0, 20_000, session="a")._replace(calls=2), request(2, 0, 20_000, session="b")]
    both = [call("g", 1_000, session="a"), call("h", 2_000, session="a")]
    assert match_calls(own, both).pairs == {"g": 1, "h": 1}
    assert match_calls(own, both[1:]).pairs == {"h": 1}
    many = match_calls(own, [*both, call("i", 3_000, session="a")])
    assert not many.pairs
    assert many.doubtful_requests == {1}


def test_those_that_compete_go_in_the_order_of_their_times() -> None:
    own = [request(1, 0, 20_000), request(2, 4_000, 30_000), request(3, 8_000, 40_000)]
    found = match_calls(own, [call("z", 1_000), call("y", 6_000)])
    assert found.pairs == {"z": 1, "y": 2}


def test_more_calls_than_requests_leave_a_doubt() -> None:
    found = match_calls([request(1, 0, 20_000)], [call("g", 1_000), call("h", 2_000)])
    assert not found.pairs
    assert found.doubtful_calls == {"g", "h"}
    assert found.doubtful_requests == {1}


def test_one_doubt_leaves_other_requests_alone() -> None:
    own = [request(1, 0, 1_000), request(2, 500_000, 501_000)]
    found = match_calls(own, [call("g", 100), call("h", 200), call("i", 500_500)])
    assert found.pairs == {"i": 2}
    assert found.doubtful_requests == {1}


def test_a_crowd_is_told_apart_by_nothing() -> None:
    own = [request(n, 0, 1_000) for n in range(300)]
    found = match_calls(own, [call(f"g{n}", 10) for n in range(300)])
    assert not found.pairs
    assert len(found.doubtful_calls) == len(found.doubtful_requests) == 300


def test_a_request_without_an_end_may_be_long() -> None:
    assert match_calls([request(1, 0)], [call("g", 600_000)]).pairs == {"g": 1}
    assert not match_calls([request(1, 0)], [call("g", 3_600_000)]).pairs


@given(
    st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 20_000), st.sampled_from("kl")), max_size=8),
    st.lists(st.tuples(st.integers(-9_000, 90_000), st.sampled_from("kl")), max_size=8),
)
def test_a_pair_may_be_and_stands_once(own: list[tuple[int, int, str]], calls: list[tuple[int, str]]) -> None:
    requests = {n: request(n, start, start + lasts, key=key) for n, (start, lasts, key) in enumerate(own)}
    billed = {f"g{n}": call(f"g{n}", at, key=key) for n, (at, key) in enumerate(calls)}
    found = match_calls(requests.values(), billed.values())
    assert len({*found.pairs.values()}) == len(found.pairs)
    assert not found.doubtful_calls & found.pairs.keys()
    assert not found.doubtful_requests & {*found.pairs.values()}
    for generation_id, request_id in found.pairs.items():
        one, other = requests[request_id], billed[generation_id]
        assert one.key_hash == other.key_hash
        assert one.started_ms - EARLY_MS <= other.created_ms <= (one.ended_ms or 0) + LATE_MS
    again = match_calls(reversed(requests.values()), reversed(billed.values()))
    assert again == found
