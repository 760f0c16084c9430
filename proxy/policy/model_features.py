"""What a model accepts, by the provider's list of models. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class ModelFeatures(NamedTuple):
    """None: the list does not say."""

    tools: bool | None = None
    vision: bool | None = None
    json: bool | None = None
    structured: bool | None = None
    audio: bool | None = None
    files: bool | None = None
    reasoning: bool | None = None
    text: bool | None = None  # it writes some
    embeddings: bool | None = None  # it makes them


NOTHING_SAID = ModelFeatures()


def read_features(model: Mapping[str, Any]) -> ModelFeatures:
    """Read one entry of OpenRouter's GET /models; it never raises, for a model is known by its price alone.

    supported_parameters has tools, response_format (JSON of any shape), structured_outputs (JSON by a schema) and
    reasoning; architecture.input_modalities has image, audio and file, output_modalities text and embeddings. A list
    that is missing or empty says nothing.
    """
    takes = _words(model.get("supported_parameters"))
    architecture = model.get("architecture")
    kinds: Mapping[str, Any] = architecture if isinstance(architecture, Mapping) else {}
    reads, writes = _words(kinds.get("input_modalities")), _words(kinds.get("output_modalities"))
    structured = None if takes is None else "structured_outputs" in takes
    return ModelFeatures(
        tools=None if takes is None else "tools" in takes,
        vision=None if reads is None else "image" in reads,
        json=None if takes is None else bool(structured) or "response_format" in takes,
        structured=structured,
        audio=None if reads is None else "audio" in reads,
        files=None if reads is None else "file" in reads,
        reasoning=None if takes is None else "reasoning" in takes,
        text=None if writes is None else "text" in writes,
        embeddings=None if writes is None else "embeddings" in writes,
    )


def _words(value: object) -> frozenset[str] | None:
    words = frozenset(word for word in value if isinstance(word, str)) if isinstance(value, list) else frozenset()
    return words or None
