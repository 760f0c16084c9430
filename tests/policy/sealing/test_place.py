"""Places: what a ciphertext is bound to never changes, and no two places are bound alike."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.sealing.place import Place, associated_data

_PLACES = st.tuples(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5), st.integers(1, 99))


def test_what_is_bound_is_frozen() -> None:
    place = Place("provider_keys", "openrouter/main/", "secret")
    assert associated_data(place, 7) == b'["provider_keys","openrouter/main/","secret",7]'
    assert place.purpose == "provider_keys.secret"


@given(_PLACES, _PLACES)
def test_no_two_places_are_bound_alike(one: tuple[str, str, str, int], other: tuple[str, str, str, int]) -> None:
    bound = [associated_data(Place(*each[:3]), each[3]) for each in (one, other)]
    assert (bound[0] == bound[1]) == (one == other)
