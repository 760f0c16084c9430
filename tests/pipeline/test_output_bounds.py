"""What each target gets as the bound of an answer, and what the client is told of it, whatever limits allow."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.pipeline.admission.output_bounds import lowered_maxima, with_output_bounds
from proxy.pipeline.values.allowance import Allowance
from proxy.pipeline.values.route import Route, Target
from proxy.policy.parameter_form import ParameterForm
from proxy.policy.pricing import read_facts
from proxy.wire.endpoint import CHAT, COMPLETIONS, MESSAGES, RESPONSES, Endpoint
from tests.policy.made_price import price_from_config

FREE = Allowance(("user:anna", "all"), (), None, None, True, False, False, False)
ENDPOINTS = st.sampled_from((CHAT, COMPLETIONS, RESPONSES, MESSAGES))
TOKENS = st.integers(1, 400)
BOUNDS = st.dictionaries(st.sampled_from(("max_tokens", "max_completion_tokens")), TOKENS)
OWN = st.none() | TOKENS


def _named(endpoint: Endpoint, bounds: dict[str, int | None]) -> dict[str, Any]:
    return {name: bounds[key] for name, key in zip(endpoint.maximum, bounds, strict=False)}


@given(
    endpoint=ENDPOINTS,
    bounds=st.dictionaries(st.sampled_from(("max_tokens", "max_completion_tokens")), st.none() | TOKENS),
    preset=BOUNDS,
    theirs=st.lists(BOUNDS, min_size=1, max_size=3),
    own=st.lists(OWN, min_size=3, max_size=3),
    most=st.lists(OWN, min_size=3, max_size=3),
    limit=TOKENS,
)
def test_what_is_written_and_told(
    endpoint: Endpoint,
    bounds: dict[str, int | None],
    preset: dict[str, int],
    theirs: list[dict[str, int]],
    own: list[int | None],
    most: list[int | None],
    limit: int,
) -> None:
    sent = {"model": "m", "messages": [], **_named(endpoint, bounds)}
    targets = tuple(Target("p", f"m{n}", defaults=defaults) for n, defaults in enumerate(theirs))
    before = Route(targets, endpoint.with_defaults(preset, sent), "m", None, asked=sent, endpoint=endpoint)
    known = {
        target: (price_from_config(input="1", output="2", output_max_tokens=own[n]), ParameterForm(most=most[n]))
        for n, target in enumerate(t.model for t in targets)
    }
    facts = read_facts(before.body, 100, endpoint.kind)
    route = before.within(limit)
    if route.rewrites_maximum:
        route = with_output_bounds(route, facts, FREE, lambda target: known[target.model])
    told = lowered_maxima(before, route, facts, lambda target: known[target.model]) or {}
    asked = max((value for value in sent.values() if type(value) is int), default=None)
    for n, target in enumerate(targets):
        body = route.body_for(target)
        written = {name: body[name] for name in endpoint.maximum if body.get(name) is not None}
        for name, value in written.items():
            assert value <= limit
            assert sent.get(name) is None or value <= sent[name]
            if asked is None:  # nor is what the operator wrote raised
                old = before.body_for(target).get(name)
                assert old is None or value <= old
        greatest = max(written.values())
        if greatest != asked:
            assert greatest <= min(value for value in (own[n], most[n], limit) if value is not None)
        if asked is not None:
            assert told.get(("p", target.model)) == (greatest if greatest < asked else None)
        else:
            assert told.get(("p", target.model)) in (None, greatest)


def test_only_what_a_target_takes_for_too_small_is_raised() -> None:
    target = Target("p", "m")
    place = ("p", "m")
    both = dict.fromkeys(CHAT.maximum, 5)
    ours = Route((target,), {"model": "m", **both}, "m", None, asked={"model": "m"})
    assert ours.with_bound(target, 16).body_for(target) == {"model": "m", **dict.fromkeys(CHAT.maximum, 16)}
    theirs = Route((target,), {"model": "m", "max_tokens": 5, "max_completion_tokens": 90}, "m", None)
    lowered = theirs.within(80).with_maxima({place: 16}).body_for(target)
    assert (lowered["max_tokens"], lowered["max_completion_tokens"]) == (5, 16)
    assert theirs.with_maxima({place: 500}).body_for(target) == theirs.body
