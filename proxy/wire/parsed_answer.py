"""An answer that is not streamed, and what one JSON message, streamed or not, says about itself."""

import re
from typing import Any, Final, NamedTuple

import orjson

from proxy.core.text import whole_text
from proxy.wire.amount import read_exactly
from proxy.wire.error import error_of_message
from proxy.wire.usage import Usage, read_usage

# Codes are words or numbers. Anything else could be a text, which can quote a prompt.
_CODE: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
_BESIDE: Final = frozenset(  # fields beside an answer that say nothing about it
    ("id", "object", "created", "model", "system_fingerprint", "service_tier", "provider", "request_id", "base_resp")
)
_new_tuple = tuple.__new__  # read from its class it would take longer than the call
_SPACE: Final = b" \t\r\n"


class ParsedAnswer(NamedTuple):
    """What is kept of an answer; never its text, nor the text of an error.

    error_code and error_type are words such as "502" and "provider_unavailable"; either may be None although
    error_seen is True. An error may stand beside choices, and under status 200.
    """

    generation_id: str | None
    model: str | None
    provider: str | None
    finish_reason: str | None
    usage: Usage | None
    error_seen: bool
    error_code: str | None
    error_type: str | None
    has_choices: bool


def read_answer(body: bytes) -> ParsedAnswer | None:
    """Read the JSON of /chat/completions, /completions or /embeddings; None if it is no JSON object.

    Leading white space, which keeps slow calls alive, is skipped.
    """
    message = read_message(body)
    if message is None:
        return None
    choices = choices_of(message)
    error: Any = (message.get("error") or None) if choices else error_of_message(message)
    finish_reason = None
    for choice in choices:
        error = error or choice.get("error") or None
        finish_reason = finish_reason or text_of(choice, "finish_reason")
    id_, model, provider = message.get("id"), message.get("model"), message.get("provider")
    code = type_ = None
    if error is not None:
        code, type_ = error_code(error), error_type(error)
    return _new_tuple(  # what Answer(…) comes to, without the call between
        ParsedAnswer,
        (
            id_ if id_.__class__ is str and id_ else None,  # as text_of(), which takes longer to call
            model if model.__class__ is str and model else None,
            provider if provider.__class__ is str and provider else None,
            finish_reason,
            read_usage(message, body),
            error is not None,
            code,
            type_,
            bool(choices),
        ),
    )


def is_cut_off(body: bytes) -> bool:
    """Return whether a body begins as a JSON object and ends within it, or in something else (wire/broken_answer.py).

    It is the only sign of a break where a body ends with its connection.
    """
    text = body.strip(_SPACE)
    if text[:1] != b"{":
        return False
    if text[-1:] != b"}":
        return True
    # Cut just behind an inner object? Braces within texts are seldom uneven, so that this is seldom read twice. What
    # is left without them tells which there are more of, in less time than counting takes.
    return len(text.replace(b"{", b"")) < len(text.replace(b"}", b"")) and read_exactly(text) is None


def read_message(data: bytes) -> dict[str, Any] | None:
    """Parse a JSON object; one with a flaw in it leniently, if it may tell a choice, a usage or an error."""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError:
        tells = b'"choices"' in data or b'"usage"' in data or b'"error"' in data
        message = _read_leniently(data) if tells else None
    if message.__class__ is list and len(message) == 1 and message[0].__class__ is dict and "error" in message[0]:
        message = message[0]  # as from Gemini's OpenAI endpoint
    return message if message.__class__ is dict else None


def _read_leniently(data: bytes) -> Any:
    try:
        return _whole(read_exactly(data))
    except RecursionError:
        return None


def _whole(value: Any) -> Any:
    """Return a lenient parse without halves of surrogate pairs, which no row and no answer could hold."""
    if value.__class__ is str:
        return whole_text(value)
    if value.__class__ is list:
        return [_whole(one) for one in value]
    if value.__class__ is dict:
        return {whole_text(name): _whole(one) for name, one in value.items()}
    return value


def says_nothing(message: dict[str, Any]) -> bool:
    """Return whether a message holds neither a choice nor a count, nor anything else that could be an answer."""
    return not any(_holds(value) for name, value in message.items() if name not in _BESIDE)


def _holds(value: Any, depth: int = 4) -> bool:
    """Return whether a value says anything: a count of zero does not."""
    if value.__class__ is dict and depth:
        return any(_holds(part, depth - 1) for part in value.values())
    return bool(value)


def text_of(message: dict[str, Any], key: str) -> str | None:
    """Return a non-empty string, else None."""
    value = message.get(key)
    return value if value.__class__ is str and value else None


def choices_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    choices = message.get("choices")
    if choices.__class__ is not list:
        return []
    for choice in choices:
        if choice.__class__ is not dict:
            return [choice for choice in choices if choice.__class__ is dict]
    return choices


def error_code(error: Any) -> str | None:
    code = error.get("code") if isinstance(error, dict) else None
    return str(code) if type(code) is int and 0 <= code < 10**6 else _word(code)


def error_type(error: Any) -> str | None:
    """Return OpenRouter's ``metadata.error_type`` or OpenAI's ``type``."""
    if not isinstance(error, dict):
        return None
    metadata = error.get("metadata")
    return (_word(metadata.get("error_type")) if isinstance(metadata, dict) else None) or _word(error.get("type"))


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None
