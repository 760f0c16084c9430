"""Each class of tokens at its own price, and what has none at the dearest that it can be."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from proxy.core.counts import Counts
from proxy.policy.pricing import (
    BodyFacts,
    Charge,
    Override,
    Price,
    PriceError,
    charge,
    estimate_pusd,
    with_fee,
    worst_case_pusd,
)
from proxy.policy.pricing.price import AUSD_PER_PUSD
from tests.policy.made_price import price_from_config


def test_a_price_of_the_configuration_is_per_million_tokens() -> None:
    price = price_from_config(input=Decimal("0.25"), output="2", cached="0.025", image="0.001")
    assert (price.input_ausd, price.output_ausd, price.cached_ausd) == (25 * 10**10, 2 * 10**12, 25 * 10**9)
    assert price.image_pusd == 10**9
    with pytest.raises(PriceError, match="output"):
        price_from_config(input="1", output="-1")
    with pytest.raises(PriceError, match="request"):
        price_from_config(input="1", output="1", request="NaN")


LIST = price_from_config(input="2", output="8", cached="0.2", cache_write="2.5", reasoning="9")
LIST = replace(
    LIST,
    cache_write_1h_ausd=4 * 10**12,
    audio_ausd=40 * 10**12,
    audio_output_ausd=80 * 10**12,
    image_token_ausd=3 * 10**12,
    image_output_ausd=30 * 10**12,
    image_pusd=10**9,
    web_search_pusd=10**10,
    request_pusd=7,
)
CLASSES = {  # one of each, and what it costs above a token of plain text, in pico-USD
    "cache_write_tokens": (Counts(cache_write_tokens=10), 10 * 500_000),
    "cache_write_1h_tokens": (Counts(cache_write_tokens=10, cache_write_1h_tokens=10), 10 * 2_000_000),
    "audio_input_tokens": (Counts(audio_input_tokens=10), 10 * 38_000_000),
    "audio_output_tokens": (Counts(audio_output_tokens=10), 10 * 72_000_000),
    "image_input_tokens": (Counts(image_input_tokens=10), 10 * 1_000_000),
    "image_output_tokens": (Counts(image_output_tokens=10), 10 * 22_000_000),
    "images": (Counts(images=10), 10 * 10**9),
    "searches": (Counts(searches=10), 10 * 10**10),
}


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_at_its_own_price(name: str) -> None:
    counts, above_pusd = CLASSES[name]
    plain_pusd = 100 * 2_000_000 + 50 * 8_000_000 + 7
    assert charge(LIST, 100, 50).pusd == plain_pusd
    assert charge(LIST, 100, 50, counts=counts) == Charge(plain_pusd + above_pusd)


def test_what_has_no_price_of_its_own() -> None:
    """Written tokens cost what Anthropic asks, others as text; the row will say that it was assumed."""
    bare = price_from_config(input="2", output="8")
    for counts, pusd in (
        (Counts(cache_write_tokens=10), 10 * 2_500_000),
        (Counts(cache_write_tokens=10, cache_write_1h_tokens=10), 10 * 4_000_000),
        (Counts(audio_input_tokens=10), 10 * 2_000_000),
    ):
        assert charge(bare, 10, 0, counts=counts) == Charge(pusd, is_assumed=True)
    assert charge(bare, 10, 0, counts=Counts(cache_write_tokens=10), untold_life_tokens=10).pusd == 10 * 4_000_000
    assert charge(bare, 10, 10, counts=Counts(image_input_tokens=10)) == Charge(10 * 2_000_000 + 10 * 8_000_000)
    assert charge(bare, 0, 0, counts=Counts(searches=2)) == Charge(0, is_assumed=True)
    free = price_from_config(input="0", output="0")
    assert charge(free, 10, 0, counts=Counts(cache_write_tokens=10)) == Charge(0)


def test_a_life_that_nobody_tells() -> None:
    """One price stands for all that is written; of two the dearer is taken, and said so."""
    counts = Counts(cache_write_tokens=10)
    one = price_from_config(input="2", output="8", cache_write="2.5")
    assert charge(one, 10, 0, counts=counts, untold_life_tokens=10) == Charge(10 * 2_500_000)
    assert charge(LIST, 10, 0, counts=counts, untold_life_tokens=10) == Charge(10 * 4_000_000 + 7, is_untold=True)


def test_output_of_no_name_costs_the_most_that_text_can() -> None:
    assert charge(LIST, 0, 10, unnamed_tokens=4).pusd == 6 * 8_000_000 + 4 * 9_000_000 + 7


def test_parts_that_overlap_are_charged_the_dear_way() -> None:
    """Ten tokens that were cached, and of which six were sound: not sixteen, and none cheaper than it can be."""
    assert charge(LIST, 10, 0, 10, counts=Counts(audio_input_tokens=6)).pusd == 6 * 40_000_000 + 4 * 200_000 + 7


@pytest.mark.parametrize("prompt", [10, 100, 101, 5000])
@pytest.mark.parametrize("own", [0, 7])
def test_a_price_for_each_request_comes_on_top_under_all_conditions(prompt: int, own: int) -> None:
    plain = Price(
        3 * AUSD_PER_PUSD,
        5 * AUSD_PER_PUSD,
        request_pusd=own,
        overrides=(
            Override((("input_ausd", 9 * AUSD_PER_PUSD), ("request_pusd", 40)), min_prompt_tokens=100),
            Override((("request_pusd", 90),), unknown_condition=True),
        ),
    )
    dearer = with_fee(plain, 1000)
    assert charge(dearer, prompt, 4).pusd == charge(plain, prompt, 4).pusd + 1000
    facts = BodyFacts(prompt, 4)
    assert worst_case_pusd([dearer], facts) == worst_case_pusd([plain], facts) + 1000
    assert estimate_pusd(dearer, facts) == estimate_pusd(plain, facts) + 1000
    assert with_fee(plain, 0) is plain
