"""A provider's list of models, in whatever shape it comes: entries that can be used, and what is wrong with the others.

Shapes (from the servers' public documentation): OpenAI ``{"object": "list", "data": [{"id"}]}``; Together and some
self-made servers a bare array; Ollama ``{"models": [{"name", "model"}]}``; Gemini ``{"models": [{"name"}]}``; an object
by id in the place of the list; texts in the place of objects. Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from msgspec import Struct

_LISTS = ("data", "models", "result", "items")
_NAMES = ("id", "name", "model")
_ID_CHARS_MAX = 512
_SHOWN_FLAWS = 5

# Where servers tell how much a model takes, input and output together: OpenRouter and Together, vLLM, Groq, Mistral and
# LM Studio, LM Studio for the model as it is loaded, Gemini, LiteLLM.
_CONTEXT = ("context_length", "max_model_len", "context_window", "max_context_length", "loaded_context_length")
_INPUT = ("inputTokenLimit", "max_input_tokens", "input_token_limit")
_OUTPUT = ("max_output_tokens", "outputTokenLimit", "output_token_limit", "max_completion_tokens")


class ParsedModelList(NamedTuple):
    """entries: objects with a text as ``id``, in their order, perhaps one id twice. flaws: what was left out."""

    entries: tuple[dict[str, Any], ...]
    flaws: tuple[str, ...]


class Lengths(Struct, frozen=True):
    """Tokens that a model takes (input and output together) and writes at most; None: the list does not say."""

    context_tokens: int | None = None
    output_tokens: int | None = None


class ModelListError(ValueError):
    """The answer is not a list of models at all."""


def read_model_list(payload: Any) -> ParsedModelList:
    """Return what can be used of an answer to GET /models; raises ModelListError where nothing in it is a list."""
    entries: list[dict[str, Any]] = []
    flaws: list[str] = []
    seen: set[str] = set()
    for place, entry in _listed(payload):
        id_ = _id_of(entry)
        if id_ is None:
            flaws.append(f"entry {place} has no id")
            continue
        if id_ in seen:
            flaws.append(f"{id_} is there twice")
        seen.add(id_)
        entries.append({**entry, "id": id_} if isinstance(entry, Mapping) else {"id": id_})
    if flaws and not entries:
        raise ModelListError(f"the list of models is malformed: {flaws_text(flaws)}")
    return ParsedModelList(tuple(entries), tuple(flaws))


def flaws_text(flaws: tuple[str, ...] | list[str]) -> str:
    """Return the first few of the flaws as one text, and how many more there are."""
    more = len(flaws) - _SHOWN_FLAWS
    return ", ".join(flaws[:_SHOWN_FLAWS]) + (f" and {more} more" if more > 0 else "")


def _listed(payload: Any) -> Iterator[tuple[str, Any]]:
    """Yield each entry with its place; an object instead of the list maps ids to entries."""
    found = payload
    for _ in range(2):  # {"data": {"data": [...]}} and {"result": {"models": [...]}} occur too
        if isinstance(found, Mapping):
            found = next((found[name] for name in _LISTS if isinstance(found.get(name), list | dict)), found)
    if isinstance(found, list):
        yield from ((str(n), entry) for n, entry in enumerate(found))
    elif (
        isinstance(found, Mapping) and found is not payload and all(isinstance(one, Mapping) for one in found.values())
    ):
        yield from ((name[:_ID_CHARS_MAX], {"id": name, **entry}) for name, entry in found.items())
    elif isinstance(payload, Mapping) and any(payload.get(name, "") is None for name in _LISTS):
        return  # some write "data": null for an empty list
    else:
        raise ModelListError("the list of models is malformed: it holds no list")


def _id_of(entry: Any) -> str | None:
    if isinstance(entry, str):
        found: Any = entry
    elif isinstance(entry, Mapping):
        found = next((entry[name] for name in _NAMES if isinstance(entry.get(name), str) and entry[name]), None)
    else:
        found = None
    return found if isinstance(found, str) and 0 < len(found) <= _ID_CHARS_MAX and found.isprintable() else None


def read_lengths(entry: Mapping[str, Any]) -> Lengths:
    """Return how long requests and answers of a model may be.

    Of several fields the least counts: a model may be loaded with less than it was trained for.
    """
    meta, top = _object(entry, "meta"), _object(entry, "top_provider")
    contexts = _counts(entry, _CONTEXT) or _counts(meta, ("n_ctx", "n_ctx_train")) or _counts(top, ("context_length",))
    outputs = _counts(entry, _OUTPUT) or _counts(top, ("max_completion_tokens",))
    inputs = _counts(entry, _INPUT)
    if not contexts and inputs:
        contexts = [min(inputs) + (min(outputs) if outputs else 0)]
    return Lengths(min(contexts, default=None), min(outputs, default=None))


def _object(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = entry.get(name)
    return value if isinstance(value, Mapping) else {}


def _counts(entry: Mapping[str, Any], names: tuple[str, ...]) -> list[int]:
    return [value for name in names if type(value := entry.get(name)) is int and value > 0]
