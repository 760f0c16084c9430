"""What a request is thought to come to, for soft limits: never above its worst case where that is bounded."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.pricing import BodyFacts, estimate_pusd, estimated_tokens, worst_case_pusd
from tests.policy.made_price import price_from_config

PRICE = price_from_config(
    input="1", output="2", request="0.01", image="0.02", context_tokens=10**6, output_max_tokens=800
)


def test_the_likely_tokens() -> None:
    assert estimated_tokens(BodyFacts(4_000), None) == (1_000, 500)
    assert estimated_tokens(BodyFacts(4_000), 100) == (1_000, 100)
    assert estimated_tokens(BodyFacts(4_000, max_output_tokens=50, choices=3), 100) == (1_000, 150)
    assert estimated_tokens(BodyFacts(4_000, generates=False), None) == (1_000, 0)
    assert estimated_tokens(BodyFacts(9_000, data_url_bytes=5_000, images=2), None) == (1_000 + 2_000, 500)


def test_the_likely_cost_has_all_parts() -> None:
    tokens_pusd = 3_000 * 1_000_000 + 500 * 2_000_000
    assert estimate_pusd(PRICE, BodyFacts(9_000, data_url_bytes=5_000, images=2)) == tokens_pusd + 10**10 + 4 * 10**10


@given(st.integers(0, 10**6), st.none() | st.integers(1, 10**4), st.integers(1, 5))
def test_it_is_within_the_worst_case(size_bytes: int, max_tokens: int | None, choices: int) -> None:
    facts = BodyFacts(size_bytes, max_output_tokens=max_tokens, choices=choices)
    assert estimate_pusd(PRICE, facts) <= worst_case_pusd([PRICE], facts)
