"""Check the types of what the proxy itself reads of a body, by endpoint; the provider checks the rest.

Each raises BodyError with code invalid_type, invalid_value or missing_required_parameter. Chat completions: body.py.
"""

from typing import Any

from proxy.wire.body import (
    MAX_CHOICES,
    MAX_OUTPUT_TOKENS,
    BodyError,
    check_count,
    check_integer,
    check_messages,
    check_model,
    check_models,
    check_stream,
    kind_of,
)


def check_completion(body: dict[str, Any]) -> None:
    check_model(body)
    _check_texts(body, "prompt", required=True)
    check_stream(body)
    check_integer(body, "max_tokens", MAX_OUTPUT_TOKENS, least=0)  # 0: nothing but the prompt is scored (echo)
    check_integer(body, "n", MAX_CHOICES)
    check_integer(body, "best_of", MAX_CHOICES, least=0)
    check_models(body)


def check_embedding(body: dict[str, Any]) -> None:
    check_model(body)
    _check_texts(body, "input", required=True)
    if body.get("stream") is True:
        raise BodyError("invalid_value", "Embeddings cannot be streamed. Leave stream out.", "stream")
    check_stream(body)
    check_models(body)


def check_response(body: dict[str, Any]) -> None:
    check_model(body)
    _check_texts(body, "input", required=False)  # a prompt or an earlier response may stand for it
    check_stream(body)
    check_integer(body, "max_output_tokens", MAX_OUTPUT_TOKENS)
    check_models(body)
    background = body.get("background")
    if background is not None and type(background) is not bool:
        raise BodyError("invalid_type", f"background must be true or false; found {kind_of(background)}.", "background")


def check_message(body: dict[str, Any]) -> None:
    check_count_tokens(body)
    check_stream(body)
    check_integer(body, "max_tokens", MAX_OUTPUT_TOKENS)
    _check_thinking(body)


def check_count_tokens(body: dict[str, Any]) -> None:
    check_model(body)
    check_messages(body)
    check_models(body)  # they are read here too
    _check_fallbacks(body)


def _check_texts(body: dict[str, Any], name: str, *, required: bool) -> None:
    value = body.get(name)
    if value is None:
        if not required:
            return
        raise BodyError("missing_required_parameter", f"{name} is missing: a string, or a list.", name)
    if not isinstance(value, str | list):
        raise BodyError("invalid_type", f"{name} must be a string or a list; found {kind_of(value)}.", name)
    if required and not value:
        raise BodyError("invalid_value", f"{name} must not be empty.", name)


def _check_thinking(body: dict[str, Any]) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    if not isinstance(thinking, dict):
        raise BodyError("invalid_type", f"thinking must be an object; found {kind_of(thinking)}.", "thinking")
    budget = thinking.get("budget_tokens")
    if budget is not None and (type(budget) is not int or not 0 < budget <= MAX_OUTPUT_TOKENS):
        found = kind_of(budget)
        text = f"thinking.budget_tokens must be an integer from 1 to {MAX_OUTPUT_TOKENS}; found {found}."
        raise BodyError("invalid_type", text, "thinking.budget_tokens")


def _check_fallbacks(body: dict[str, Any]) -> None:
    """Check OpenRouter's fallback models: they cost money, and the user must be allowed to use them."""
    fallbacks = body.get("fallbacks")
    if fallbacks is None:
        return
    if not isinstance(fallbacks, list):
        raise BodyError("invalid_type", f"fallbacks must be a list; found {kind_of(fallbacks)}.", "fallbacks")
    check_count(fallbacks, "fallbacks")
    for i, fallback in enumerate(fallbacks):
        where = f"fallbacks[{i}]"
        if not isinstance(fallback, dict):
            raise BodyError("invalid_type", f"{where} must be an object; found {kind_of(fallback)}.", where)
        if not isinstance(fallback.get("model"), str):
            raise BodyError("invalid_type", f"{where}.model must be a string.", f"{where}.model")
