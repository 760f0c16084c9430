"""What a provider's list says of one model beside its price."""

from typing import Any, NamedTuple

import orjson

from proxy.policy.supports import NOTHING_SAID, Supports, read_supports


class ModelFacts(NamedTuple):
    """context_tokens None: the list does not say."""

    context_tokens: int | None = None
    supports: Supports = NOTHING_SAID


UNKNOWN = ModelFacts()


def read_model_facts(entry: bytes) -> ModelFacts:
    """Read one model of a list, in OpenRouter's fields; other servers have none of them."""
    model: dict[str, Any] = orjson.loads(entry)
    context = model.get("context_length")
    return ModelFacts(context if type(context) is int and context > 0 else None, read_supports(model))
