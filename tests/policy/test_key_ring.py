"""The key ring: who goes first, in which shares, and what happens to keys that are refused."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.key_ring import PROBE_MS, KeyFacts, KeyRing

NOW_MS = 1_795_219_200_000


def names(ring: KeyRing, keys: list[KeyFacts], times: int, excluded: frozenset[int] = frozenset()) -> Counter[str]:
    counts: Counter[str] = Counter()
    for _ in range(times):
        i = ring.choose(NOW_MS, excluded)
        assert i is not None
        counts[keys[i].name] += 1
    return counts


def test_one_key_needs_no_choice() -> None:
    ring = KeyRing([KeyFacts("main")])
    assert [ring.choose(NOW_MS) for _ in range(3)] == [0, 0, 0]
    assert ring.choose(NOW_MS, {0}) is None


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.integers(1, 5))
def test_weights_hold_exactly_over_every_round(weights: list[int], rounds: int) -> None:
    keys = [KeyFacts(f"k{i}", weight=weight) for i, weight in enumerate(weights)]
    counts = names(KeyRing(keys), keys, sum(weights) * rounds)
    assert counts == {key.name: key.weight * rounds for key in keys}


@given(st.lists(st.integers(1, 20), min_size=2, max_size=6), st.data())
def test_shares_stay_near_their_weights_at_every_moment(weights: list[int], data: st.DataObject) -> None:
    keys = [KeyFacts(f"k{i}", weight=weight) for i, weight in enumerate(weights)]
    ring, counts = KeyRing(keys), Counter[int]()
    for n in range(1, data.draw(st.integers(1, 300)) + 1):
        chosen = ring.choose(NOW_MS)
        assert chosen is not None
        counts[chosen] += 1
        for i, weight in enumerate(weights):
            assert abs(counts[i] - n * weight / sum(weights)) <= len(weights)


def test_the_smooth_order() -> None:
    keys = [KeyFacts("a", weight=5), KeyFacts("b"), KeyFacts("c")]
    ring = KeyRing(keys)
    order = "".join(keys[ring.choose(NOW_MS) or 0].name for _ in range(7))
    assert order == "aabacaa"


def test_a_lower_priority_number_goes_first_and_the_next_stands_in() -> None:
    keys = [KeyFacts("spare", priority=2), KeyFacts("main", priority=1)]
    ring = KeyRing(keys)
    assert names(ring, keys, 10) == {"main": 10}
    assert names(ring, keys, 10, frozenset({1})) == {"spare": 10}
    ring.set_aside("main", NOW_MS + 1000)
    assert ring.choose(NOW_MS) == 0
    assert ring.choose(NOW_MS + 1000) == 1


def test_dates_overlap_in_a_rotation() -> None:
    keys = [KeyFacts("old", valid_until_ms=NOW_MS + 1000), KeyFacts("new", valid_from_ms=NOW_MS)]
    ring = KeyRing(keys)
    assert ring.choose(NOW_MS - 1) == 0
    assert {ring.choose(NOW_MS + i) for i in range(4)} == {0, 1}
    assert ring.choose(NOW_MS + 1000) == 1
    assert KeyRing(keys[:1]).choose(NOW_MS + 1000) is None
    assert KeyRing(keys[:1]).usable_in_ms(NOW_MS + 1000) is None


def test_a_key_is_set_aside_for_one_model_only() -> None:
    ring = KeyRing([KeyFacts("a"), KeyFacts("b")])
    ring.set_aside("a", NOW_MS + 1000, "free tier", model="x:free")
    assert {ring.choose(NOW_MS, model="x:free") for _ in range(4)} == {1}
    assert {ring.choose(NOW_MS, model="x") for _ in range(4)} == {0, 1}
    assert ring.view(NOW_MS)[0].models_set_aside == 1


def test_the_only_key_is_asked_now_and_then_while_it_is_set_aside() -> None:
    ring = KeyRing([KeyFacts("main")])
    assert ring.choose(NOW_MS) == 0
    ring.set_aside("main", NOW_MS + 10 * PROBE_MS, "no credits")
    asked = [s for s in range(0, 5 * PROBE_MS, 1000) if ring.choose(NOW_MS + s) == 0]
    assert asked == [PROBE_MS, 2 * PROBE_MS, 3 * PROBE_MS, 4 * PROBE_MS]
    ring.restore("main")
    assert ring.choose(NOW_MS + 5) == 0


def test_of_keys_set_aside_the_soonest_back_is_asked() -> None:
    ring = KeyRing([KeyFacts("a"), KeyFacts("b")])
    assert {ring.choose(NOW_MS), ring.choose(NOW_MS)} == {0, 1}
    ring.set_aside("a", NOW_MS + 9 * PROBE_MS)
    ring.set_aside("b", NOW_MS + 5 * PROBE_MS)
    assert ring.choose(NOW_MS + 1) is None
    assert ring.usable_in_ms(NOW_MS) == 5 * PROBE_MS
    assert ring.choose(NOW_MS + PROBE_MS) == 1
    assert ring.choose(NOW_MS + PROBE_MS) == 0
    assert ring.choose(NOW_MS + PROBE_MS) is None


def test_what_is_over_is_forgotten() -> None:
    ring = KeyRing([KeyFacts("main")])
    ring.set_aside("main", NOW_MS + 10)
    ring.set_aside("main", NOW_MS + 10, model="m")
    assert ring.choose(NOW_MS, model="m") is None
    assert ring.choose(NOW_MS + 10, model="m") == 0
    assert (ring._asides, ring._model_asides) == ({}, {})


def test_a_later_end_stays() -> None:
    ring = KeyRing([KeyFacts("a"), KeyFacts("b")])
    ring.set_aside("a", NOW_MS + 5000, "bad key")
    ring.set_aside("a", NOW_MS + 1000, "busy")
    view = ring.view(NOW_MS)[0]
    assert (view.set_aside_until_ms, view.reason) == (NOW_MS + 5000, "bad key")
    assert ring.view(NOW_MS + 5000)[0].set_aside_until_ms is None


def test_what_is_known_of_unchanged_keys_outlives_a_reload() -> None:
    before = KeyRing([KeyFacts("a"), KeyFacts("b"), KeyFacts("c")])
    for name in "abc":
        before.set_aside(name, NOW_MS + 5000)
        before.set_aside(name, NOW_MS + 5000, model="m")
    ring = KeyRing([KeyFacts("a"), KeyFacts("b")])
    ring.take_over(before, ["a", "c"])
    assert [view.set_aside_until_ms for view in ring.view(NOW_MS)] == [NOW_MS + 5000, None]
    assert [view.models_set_aside for view in ring.view(NOW_MS)] == [1, 0]


def test_names_of_models_do_not_fill_memory() -> None:
    ring = KeyRing([KeyFacts("a")])
    for i in range(5000):
        ring.set_aside("a", NOW_MS + i, model=f"made-up/{i}")
    assert ring.view(0)[0].models_set_aside == 1000


@pytest.mark.parametrize(
    "keys", [[], [KeyFacts("a"), KeyFacts("a")], [KeyFacts("a", weight=0)]], ids=["none", "twice", "no weight"]
)
def test_what_is_no_ring(keys: list[KeyFacts]) -> None:
    with pytest.raises(ValueError, match="key"):
        KeyRing(keys)


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(-3, 3), st.integers(1, 6)), min_size=1, max_size=5
    ),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 200_000), st.booleans()), max_size=30),
)
def test_a_chosen_key_is_always_one_that_may_be_used(
    facts: list[tuple[int, int, int, int]], events: list[tuple[int, int, bool]]
) -> None:
    keys = [
        KeyFacts(f"k{i}", priority, weight, NOW_MS + begin * 60_000, NOW_MS + (begin + length) * 60_000)
        for i, (priority, weight, begin, length) in enumerate(facts)
    ]
    ring, now_ms = KeyRing(keys), NOW_MS
    aside: dict[int, int] = {}
    for i, amount, sets_aside in events:
        if sets_aside and i < len(keys):
            aside[i] = max(aside.get(i, 0), now_ms + amount)
            ring.set_aside(f"k{i}", now_ms + amount)
        else:
            now_ms += amount
        excluded = frozenset({i}) if amount % 2 else frozenset()
        valid = {
            n
            for n, key in enumerate(keys)
            if n not in excluded and (key.valid_from_ms or 0) <= now_ms < (key.valid_until_ms or 0)
        }
        free = {n for n in valid if aside.get(n, 0) <= now_ms}
        chosen = ring.choose(now_ms, excluded)
        if free:
            assert chosen in free
            assert keys[chosen].priority == min(keys[n].priority for n in free)
        else:
            assert chosen is None or chosen in valid
