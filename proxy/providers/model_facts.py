"""What a provider's list says about one model besides its price."""

from typing import Any

import orjson
from msgspec import Struct

from proxy.policy.model_features import NOTHING_SAID, ModelFeatures, read_features
from proxy.policy.model_list import read_lengths


class ModelFacts(Struct, frozen=True):
    """context_tokens, output_tokens None: the list does not say."""

    context_tokens: int | None = None
    supports: ModelFeatures = NOTHING_SAID
    output_tokens: int | None = None


UNKNOWN = ModelFacts()


def read_model_facts(entry: bytes) -> ModelFacts:
    """Read one model of a list, in the fields of whatever server it is."""
    model: dict[str, Any] = orjson.loads(entry)
    lengths = read_lengths(model)
    return ModelFacts(lengths.context_tokens, read_features(model), lengths.output_tokens)
