"""Prices, and what a request can cost at most: price, catalogue, facts (of a body), bound."""

from proxy.core.endpoint import Endpoint
from proxy.policy.pricing.bound import (
    FLOOR_TOKENS,
    Clamped,
    Unaffordable,
    Unbounded,
    clamp_output_tokens,
    floor_tokens,
    input_bound_tokens,
    maximum_to_write,
    output_limit_tokens,
    unpriced_features,
    worst_case_pusd,
)
from proxy.policy.pricing.catalogue import (
    Catalogue,
    CatalogueEntry,
    Found,
    Move,
    accept_refresh,
    diff_catalogue,
    find_price,
    parse_catalogue,
    parse_openrouter_model,
)
from proxy.policy.pricing.estimate import estimate_pusd, estimated_tokens
from proxy.policy.pricing.facts import BodyFacts, read_facts, thinking_budget
from proxy.policy.pricing.price import (
    Charge,
    Override,
    Price,
    PriceError,
    charge,
    cost_from_usage_pusd,
    rates_at,
)

__all__ = [
    "FLOOR_TOKENS",
    "BodyFacts",
    "Catalogue",
    "CatalogueEntry",
    "Charge",
    "Clamped",
    "Endpoint",
    "Found",
    "Move",
    "Override",
    "Price",
    "PriceError",
    "Unaffordable",
    "Unbounded",
    "accept_refresh",
    "charge",
    "clamp_output_tokens",
    "cost_from_usage_pusd",
    "diff_catalogue",
    "estimate_pusd",
    "estimated_tokens",
    "find_price",
    "floor_tokens",
    "input_bound_tokens",
    "maximum_to_write",
    "output_limit_tokens",
    "parse_catalogue",
    "parse_openrouter_model",
    "rates_at",
    "read_facts",
    "thinking_budget",
    "unpriced_features",
    "worst_case_pusd",
]
