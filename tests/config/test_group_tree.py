"""Groups within groups."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.config.group_tree import ancestors, circle

NAMES = st.sampled_from("abcdef")


def test_the_nearest_comes_first() -> None:
    parents = {"team": "unit", "unit": "company", "company": None}
    assert ancestors(parents, "team") == ("unit", "company")
    assert ancestors(parents, "company") == ()
    assert ancestors(parents, "nobody") == ()
    assert ancestors({"team": "gone"}, "team") == ("gone",)


def test_a_circle_is_named_from_each_of_its_groups_alone() -> None:
    parents = {"a": "b", "b": "c", "c": "a", "d": "a", "e": "e"}
    assert circle(parents, "a") == ("a", "b", "c", "a")
    assert circle(parents, "e") == ("e", "e")
    assert circle(parents, "d") == ()  # it is below one, and in none


@given(st.dictionaries(NAMES, st.none() | NAMES), NAMES)
def test_whatever_the_parents_are_it_ends(parents: dict[str, str | None], group: str) -> None:
    above = ancestors(parents, group)
    assert group not in above
    assert len(set(above)) == len(above)
    around = circle(parents, group)
    assert not around or (around[0] == around[-1] == group and parents[around[-2]] == group)
