"""Prices as an operator writes them and as OpenRouter lists them, for tests of what is made of them."""

from decimal import Decimal
from typing import Any

from proxy.core.money import MoneyError, usd_to_pusd
from proxy.policy.pricing import Price, PriceError
from proxy.policy.pricing.price import usd_to_ausd
from proxy.providers.openrouter_prices import parse_openrouter_model


def price_from_config(
    *,
    input: Decimal | str,  # noqa: A002  the word of the configuration file
    output: Decimal | str,
    cached: Decimal | str | None = None,
    cache_write: Decimal | str | None = None,
    reasoning: Decimal | str | None = None,
    request: Decimal | str = "0",
    image: Decimal | str | None = None,
    context_tokens: int | None = None,
    output_max_tokens: int | None = None,
    image_tokens_max: int | None = None,
) -> Price:
    """Build a price from what an operator writes: USD per million tokens; request and image in USD apiece.

    Raises PriceError with the name of the value that is no price.
    """

    def token(name: str, value: Decimal | str) -> int:
        try:
            ausd_for_million = usd_to_ausd(str(value))
        except PriceError as error:
            raise PriceError(f"{name}: {error}") from None
        return -(-ausd_for_million // 10**6)

    def piece(name: str, value: Decimal | str) -> int:
        try:
            return usd_to_pusd(str(value))[0]
        except MoneyError as error:
            raise PriceError(f"{name}: {error}") from None

    optional: dict[str, Any] = {
        f"{name}_ausd": token(name, value)
        for name, value in (("cached", cached), ("cache_write", cache_write), ("reasoning", reasoning))
        if value is not None
    }
    return Price(
        input_ausd=token("input", input),
        output_ausd=token("output", output),
        request_pusd=piece("request", request),
        image_pusd=None if image is None else piece("image", image),
        context_tokens=context_tokens,
        output_max_tokens=output_max_tokens,
        image_tokens_max=image_tokens_max,
        source="config",
        **optional,
    )


def listed_model(model_id: str = "openai/gpt-4o-mini", pricing: object = None, **more: object) -> dict[str, object]:
    """Return an entry of a list of models."""
    entry: dict[str, object] = {
        "id": model_id,
        "canonical_slug": model_id,
        "context_length": 128000,
        "pricing": {"prompt": "0.00000015", "completion": "0.0000006"} if pricing is None else pricing,
        "top_provider": {"context_length": 128000, "max_completion_tokens": 16384},
    }
    return {**entry, **more}


def listed_price(**pricing: object) -> Price:
    """Return the price of an entry, with fields of its own."""
    base = {"prompt": "0.000003", "completion": "0.000015"}
    price, reason = parse_openrouter_model(listed_model(pricing={**base, **pricing}))
    assert price is not None, reason
    return price
