"""What one generation costs, and how usage is written on the wire. Pure.

The number that is charged is decided here and nowhere else; the wire shows it as ``cost_literal`` says, right
or wrong.
"""

from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
from msgspec import Struct

from proxy.core.money import MoneyError, pusd_to_usd, usd_to_pusd
from proxy.simulator import text
from proxy.simulator.behaviour import Behaviour
from proxy.simulator.prices import AUSD_PER_PUSD, DemoPrice, Tokens, input_ausd, output_ausd, price_text

# Providers at which closing the stream also ends the bill, from OpenRouter's page on streaming.
CANCELLING_PROVIDERS = frozenset(
    (
        *(
            "OpenAI",
            "Azure",
            "Anthropic",
            "Fireworks",
            "Mancer",
            "Recursal",
            "AnyScale",
            "Lepton",
            "OctoAI",
            "Novita",
        ),
        *(
            "DeepInfra",
            "Together",
            "Cohere",
            "Hyperbolic",
            "Infermatic",
            "Avian",
            "xAI",
            "Cloudflare",
            "SFCompute",
        ),
        *("Nineteen", "Liquid", "Friendli", "Chutes", "DeepSeek"),
    )
)


class Bill(Struct, frozen=True):
    """What one generation costs and how the wire shows it.

    charged_pusd is what a true ledger books: OpenRouter's cost, and with an own key the provider's bill on
    top.

    cost_json is the JSON text of usage.cost as it goes on the wire, None for no such key; total_json the
    figure that /generation tells. prompt_ausd and completion_ausd are the parts of tokens x price.
    """

    tokens: Tokens
    charged_pusd: int
    upstream_pusd: int
    cost_json: str | None
    total_json: str
    prompt_ausd: int
    completion_ausd: int


def _random_literal(bits: int) -> str:
    """Return a decimal literal of up to 18 digits from random bits, between 1e-12 and 0.99 USD."""
    digits = 1 + bits % 18
    number = (bits >> 8) % 10**digits or 1
    amount = Decimal(number).scaleb(-max(digits, 3 + (bits >> 80) % 10))
    return f"{amount:e}" if (bits >> 90) % 4 == 0 else f"{amount:f}"


def _charged(literal: str) -> int | None:
    """Return the pico-USD of a JSON text of cost; None if it is not an amount of money."""
    try:
        return usd_to_pusd(literal.strip('"'))[0]
    except (MoneyError, InvalidOperation):
        return None


def bill(behaviour: Behaviour, price: DemoPrice, tokens: Tokens, *, seed: int, sequence: int, whole: bool) -> Bill:
    """Price what was generated. whole = to its end; only then do the literals of the behaviour count."""
    prompt = input_ausd(price, tokens)
    completion = output_ausd(price, tokens)
    list_ausd = prompt + completion
    if behaviour.cache_hit:
        return Bill(Tokens(0, 0), 0, 0, "0", "0", 0, 0)
    if behaviour.zero_completion or behaviour.choice_error:
        return Bill(tokens, 0, 0, "0", "0", 0, 0)
    upstream_pusd = -(-list_ausd // AUSD_PER_PUSD) if behaviour.byok else 0
    literal = "0" if behaviour.byok else price_text(list_ausd + behaviour.extra_cost_pusd * AUSD_PER_PUSD)
    if whole and behaviour.cost_random:
        literal = _random_literal(text.number(seed, "cost", sequence))
    told = behaviour.cost_literal if whole and behaviour.cost_literal is not None else literal
    charged = _charged(told)
    if charged is None:
        charged = usd_to_pusd(literal)[0]
        total = pusd_to_usd(charged)
    else:
        total = told.strip('"')
    return Bill(
        tokens,
        charged + upstream_pusd,
        upstream_pusd,
        None if behaviour.cost_missing else told,
        behaviour.cost_in_generation or total,
        prompt,
        completion,
    )


def uncharged(tokens: Tokens) -> Bill:
    """Bill nothing: an error ended the generation."""
    return Bill(tokens, 0, 0, "0", "0", 0, 0)


def _fragment(json_text: str) -> Any:
    return orjson.Fragment(json_text.encode())


def _money(behaviour: Behaviour, bill: Bill, part_names: tuple[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if bill.cost_json is not None:
        body["cost"] = _fragment(bill.cost_json)
    if not behaviour.is_byok_missing:
        body["is_byok"] = behaviour.byok
    details: dict[str, Any] = {}
    if behaviour.byok:
        details["upstream_inference_cost"] = _fragment(pusd_to_usd(bill.upstream_pusd))
    elif behaviour.upstream_cost != "missing":
        same = _fragment(price_text(bill.prompt_ausd + bill.completion_ausd))
        details["upstream_inference_cost"] = same if behaviour.upstream_cost == "same" else None
    details[part_names[0]] = _fragment(price_text(bill.prompt_ausd))
    details[part_names[1]] = _fragment(price_text(bill.completion_ausd))
    body["cost_details"] = details
    return body


def chat_usage(behaviour: Behaviour, bill: Bill, *, openai: bool) -> Any:
    """Write ``usage`` of chat completions, completions and embeddings; OpenAI's has no money in it."""
    if behaviour.usage_literal is not None:
        return _fragment(behaviour.usage_literal)
    tokens = bill.tokens
    usage: dict[str, Any] = {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
    }
    if openai:
        usage["prompt_tokens_details"] = {"cached_tokens": tokens.cached, "audio_tokens": 0}
        usage["completion_tokens_details"] = {
            "reasoning_tokens": tokens.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        }
        return usage
    usage |= _money(behaviour, bill, ("upstream_inference_prompt_cost", "upstream_inference_completions_cost"))
    usage["prompt_tokens_details"] = {
        "cached_tokens": tokens.cached,
        "cache_write_tokens": tokens.cache_write,
        "audio_tokens": 0,
        "video_tokens": 0,
    }
    usage["completion_tokens_details"] = {
        "reasoning_tokens": tokens.reasoning,
        "image_tokens": 0,
        "audio_tokens": 0,
    }
    return usage


def responses_usage(behaviour: Behaviour, bill: Bill, *, openai: bool) -> Any:
    """Write ``usage`` of the Responses API."""
    if behaviour.usage_literal is not None:
        return _fragment(behaviour.usage_literal)
    tokens = bill.tokens
    usage: dict[str, Any] = {
        "input_tokens": tokens.prompt,
        "input_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": tokens.cache_write},
        "output_tokens": tokens.completion,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.prompt + tokens.completion,
    }
    if not openai:
        usage |= _money(behaviour, bill, ("upstream_inference_input_cost", "upstream_inference_output_cost"))
    return usage


def messages_usage(behaviour: Behaviour, bill: Bill, *, direct: bool = False) -> Any:
    """Write ``usage`` of the Messages API: cached tokens stand beside input_tokens there, not inside.

    direct: as Anthropic itself does, without money and with the life of what was written to the cache.
    """
    if behaviour.usage_literal is not None:
        return _fragment(behaviour.usage_literal)
    tokens = bill.tokens
    usage: dict[str, Any] = {
        "input_tokens": tokens.prompt - tokens.cached - tokens.cache_write,
        "output_tokens": tokens.completion,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cached,
    }
    if direct:
        lives = {"ephemeral_5m_input_tokens": tokens.cache_write, "ephemeral_1h_input_tokens": 0}
        return usage | {"cache_creation": lives, "service_tier": "standard"}
    names = ("upstream_inference_prompt_cost", "upstream_inference_completions_cost")
    return usage | _money(behaviour, bill, names)


def with_usage(body: dict[str, Any], behaviour: Behaviour, usage: Any) -> dict[str, Any]:
    """Return the body with usage as the behaviour says: present, null or missing."""
    if behaviour.usage == "present":
        body["usage"] = usage
    elif behaviour.usage == "null":
        body["usage"] = None
    return body
