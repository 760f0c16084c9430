"""Prices as an operator writes them, for tests of what is made of them."""

from decimal import Decimal
from typing import Any

from proxy.core.money import MoneyError, usd_to_pusd
from proxy.policy.pricing import Price, PriceError
from proxy.policy.pricing.price import usd_to_ausd


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
