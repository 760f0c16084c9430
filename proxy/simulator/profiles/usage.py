"""How a profile reports usage: from the tokens that are billed to the fields on the wire. Pure."""

from typing import Any

import orjson

from proxy.simulator.behaviour import Behaviour
from proxy.simulator.bill import Bill
from proxy.simulator.prices import AUSD_PER_PUSD, price_text
from proxy.simulator.profiles.profile import ProfileUsage

_PUSD_PER_TICK = 100  # xAI counts in 1e-10 USD


def usage(told: ProfileUsage, behaviour: Behaviour, bill: Bill, *, final: bool) -> Any:
    """Return ``usage`` of a chat completion; final: all of it is known, the cost with it."""
    if behaviour.usage_literal is not None:
        return orjson.Fragment(behaviour.usage_literal.encode())
    tokens = bill.tokens
    beside = tokens.reasoning if told.reasoning == "beside" else 0
    fields: dict[str, Any] = {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion - beside,
        "total_tokens": tokens.prompt + tokens.completion,
        **told.more,
    }
    if told.cached == "flat":
        fields["cached_tokens"] = tokens.cached
    if told.cached == "hit_miss":
        fields |= {
            "prompt_cache_hit_tokens": tokens.cached,
            "prompt_cache_miss_tokens": tokens.prompt - tokens.cached,
        }
    prompt: dict[str, Any] = {"audio_tokens": 0} if told.details else {}
    if told.cached in ("details", "hit_miss"):
        prompt["cached_tokens"] = tokens.cached
    if told.writes == "details":
        prompt["cache_creation_input_tokens"] = tokens.cache_write
    if prompt:
        fields["prompt_tokens_details"] = prompt
    if told.reasoning != "unsaid" and (told.details or tokens.reasoning):
        fields["completion_tokens_details"] = {"reasoning_tokens": tokens.reasoning}
    if told.cost is not None and final:
        fields |= _cost(told, bill)
    return fields


def _cost(told: ProfileUsage, bill: Bill) -> dict[str, Any]:
    if told.cost == "ticks":
        return {"cost_in_usd_ticks": -(-bill.charged_pusd // _PUSD_PER_TICK)}
    return {
        "cost": {
            "input_tokens_cost": _number(bill.prompt_ausd),
            "output_tokens_cost": _number(bill.completion_ausd),
            "total_cost": _number(bill.charged_pusd * AUSD_PER_PUSD),
        }
    }


def _number(ausd: int) -> Any:
    return orjson.Fragment(price_text(ausd).encode())
