"""Prices, and what a request can cost at most: price, catalogue, facts (of a body), bound."""

from proxy.core.endpoint_kind import Endpoint
from proxy.policy.pricing.body_facts import BodyFacts, read_facts, thinking_budget
from proxy.policy.pricing.estimate import estimate_pusd, estimated_tokens
from proxy.policy.pricing.price import (
    Charge,
    Override,
    Price,
    PriceError,
    charge,
    cost_from_usage_pusd,
    rates_at,
    with_fee,
)
from proxy.policy.pricing.price_list import (
    PriceList,
    PriceListEntry,
    PriceMatch,
    PriceMove,
    accept_refresh,
    diff_price_lists,
    find_price,
)
from proxy.policy.pricing.worst_case import (
    FLOOR_TOKENS,
    ClampedOutput,
    UnaffordableOutput,
    UnboundedError,
    clamp_output_tokens,
    floor_tokens,
    input_bound_tokens,
    maximum_to_write,
    output_limit_tokens,
    unpriced_features,
    worst_case_pusd,
)

__all__ = [
    "FLOOR_TOKENS",
    "BodyFacts",
    "Charge",
    "ClampedOutput",
    "Endpoint",
    "Override",
    "Price",
    "PriceError",
    "PriceList",
    "PriceListEntry",
    "PriceMatch",
    "PriceMove",
    "UnaffordableOutput",
    "UnboundedError",
    "accept_refresh",
    "charge",
    "clamp_output_tokens",
    "cost_from_usage_pusd",
    "diff_price_lists",
    "estimate_pusd",
    "estimated_tokens",
    "find_price",
    "floor_tokens",
    "input_bound_tokens",
    "maximum_to_write",
    "output_limit_tokens",
    "rates_at",
    "read_facts",
    "thinking_budget",
    "unpriced_features",
    "with_fee",
    "worst_case_pusd",
]
