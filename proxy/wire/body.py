"""A request's body: parsed once, checked, written again.

What is priced must be what is sent, so the body that goes upstream is always the parse written out again, or bytes
that are proved to be the same (pipeline/values/body_shape.py): never those that came, as they are. For that to be safe
a body that means two things (a key given twice) is refused, and no value may change on the way: a number that neither
64 bits nor a double can hold is sent as the literal it was.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, Literal

import orjson

MAX_LEVELS: Final = 254
"""Levels of nesting that are accepted: what orjson writes. It reads more, but each body is written again."""

MAX_OUTPUT_TOKENS: Final = 2**31
"""No model writes this much; it keeps every sum that is made of it far inside 64 bits."""

MAX_CHOICES: Final = 128
"""OpenAI's own limit of ``n``."""

MAX_MODELS: Final = 32
"""Names of models to fall back on: each is priced, and may be asked, for one request. OpenRouter takes three."""

MAX_MODEL_CHARS: Final = 256
_MAX_NAME_CHARS: Final = 64
_SPACE: Final = b" \t\r\n"
_QUOTE: Final = b'"'
_TEXT: Final = b"\0"  # stands for a text: no JSON holds it
_WITH_SPACES: Final = ((b'": ', b'":'), (b', "', b',"'), (b"}, {", b"},{"))
_BACKSLASH: Final = ord("\\")
_MARK: Final = b"\xef\xbb\xbf"
_HALF_PAIR: Final = "a string holds half a surrogate pair (\\ud800 to \\udfff alone)"
_CLEARER: Final = {  # orjson's own texts where they are cryptic
    "number is infinity when parsed as double": "a number is larger than a double can hold",
    "no low surrogate in string": _HALF_PAIR,
    "invalid high surrogate in string": _HALF_PAIR,
    "unexpected character, expected a JSON value": "a value is expected (NaN and Infinity are not JSON)",
}

Code = Literal[
    "empty_body",
    "invalid_encoding",
    "invalid_json",
    "duplicate_key",
    "too_deep",
    "invalid_type",
    "invalid_value",
    "missing_required_parameter",
]


class BodyError(ValueError):
    """The body cannot be served; answered with 400.

    The text is for the caller and quotes nothing of the body but the name of a field. code is one of Code,
    param is the field at fault or None.
    """

    def __init__(self, code: Code, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code: Code = code
        self.param = param


def parse_body(raw: bytes) -> dict[str, Any]:
    """Return the JSON object in raw, from which dump_body writes every value unchanged.

    A number that would change (beyond 64 bits, or more digits than a double keeps) stands in it as
    orjson.Fragment, which is neither int nor float. Raises BodyError.
    """
    return parse_sized(raw)[0]


def parse_sized(raw: bytes) -> tuple[dict[str, Any], int]:
    """Return what parse_body() does, and how many bytes dump_body() writes of it. Raises BodyError."""
    raw = raw.removeprefix(_MARK)  # a byte order mark, which some shells put before every text
    body = _load(raw)
    if not isinstance(body, dict):
        raise BodyError("invalid_type", f"The body must be a JSON object; found {kind_of(body)}.")
    try:
        written = orjson.dumps(body)
    except orjson.JSONEncodeError:
        written = None
    if written is None:  # outside the except block, whose error would hold the body
        raise BodyError("too_deep", f"The body is nested deeper than {MAX_LEVELS} levels.")
    # SDKs write JSON as orjson does, or with spaces between its parts. Equal bytes prove that nothing was lost, for a
    # tenth of the time that the exact parse below takes.
    if written == raw or _differ_beside_a_text(raw, written) or _differ_in_spaces(raw, written):
        return body, len(written)
    body = _parse_exactly(raw)
    return body, len(dump_body(body))


dump_body: Final[Callable[[dict[str, Any]], bytes]] = orjson.dumps
"""Write what parse_body gave, or a body of plain values, as compact UTF-8 JSON; keys keep their order."""


def _load(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        problem = (error.msg, error.lineno, error.colno)
    # Raised here and not in the except block, for a JSONDecodeError holds the whole document.
    raise _syntax_error(raw, *problem)


def _syntax_error(raw: bytes, problem: str, line: int, column: int) -> BodyError:
    if not raw.strip():
        return BodyError("empty_body", "The body is empty. Send a JSON object.")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in raw[:4]:
        # A NUL among the first four bytes is how UTF-16 and UTF-32 show without a mark (RFC 4627, part 3).
        return BodyError("invalid_encoding", "The body is UTF-16 or UTF-32. Send the JSON encoded as UTF-8.")
    if "valid UTF-8" in problem:
        return BodyError("invalid_encoding", "The body is not valid UTF-8. Send the JSON encoded as UTF-8.")
    if "depth" in problem or "ecursion" in problem:
        return BodyError("too_deep", f"The body is nested deeper than {MAX_LEVELS} levels.")
    problem = _CLEARER.get(problem, problem)
    return BodyError("invalid_json", f"The body is not valid JSON: {problem} (line {line}, column {column}).")


def _differ_beside_a_text(raw: bytes, written: bytes) -> bool:
    """Return whether two JSON texts are the same but for spaces beside one text that is most of both; False: not known.

    Spaces are left out where Python's json.dumps() puts them. One that is left out of a string proves nothing less:
    part for part both are the same then, so what is written has every part that was read, and no number is another.
    """
    middle = len(raw) // 2
    start = raw.rfind(_QUOTE, 0, middle)
    end = raw.find(_QUOTE, middle)
    if start < 0 or (end - start) * 2 < len(raw):
        return False
    rest = raw[:start] + _TEXT + raw[end:]
    for spaced, plain in _WITH_SPACES:
        rest = rest.replace(spaced, plain)
    before, _, behind = rest.partition(_TEXT)
    return before + raw[start:end] + behind == written


def _differ_in_spaces(raw: bytes, written: bytes) -> bool:
    """Return whether two JSON texts are the same but for white space between their parts.

    Between quotes is either a string or what stands between two; escapes of quotes and backslashes, which would hide
    that, are replaced by bytes that no JSON text holds.
    """
    if _BACKSLASH in raw:  # one byte is found faster by its number
        raw = raw.replace(b"\\\\", b"\0").replace(b'\\"', b"\1")
        written = written.replace(b"\\\\", b"\0").replace(b'\\"', b"\1")
    parts = raw.split(b'"')
    parts[::2] = b'"'.join(parts[::2]).translate(None, _SPACE).split(b'"')
    return b'"'.join(parts) == written


def _parse_exactly(raw: bytes) -> dict[str, Any]:
    """Parse again, slower, to see what the fast parse cannot tell: keys given twice and inexact numbers."""
    body: dict[str, Any] = _EXACT.raw_decode(raw.decode().lstrip())[0]  # the fast parse has shown that it is one value
    return body


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            shown = _shown(name)
            raise BodyError("duplicate_key", f"{shown or 'A field'} is given twice. Give every field once.", shown)
        seen.add(name)
    raise AssertionError("fewer members than pairs, yet no name twice")


def _exact_int(literal: str) -> Any:
    if len(literal) < 19:
        return int(literal)
    if len(literal) > 20:  # -2**63 and 2**64 - 1 have 20 characters; int() refuses over 4300 digits
        return orjson.Fragment(literal)
    number = int(literal)
    return number if -(2**63) <= number < 2**64 else orjson.Fragment(literal)


def _exact_float(literal: str) -> Any:
    number = float(literal)
    if repr(number) == literal:  # nearly all are written so, and need no Decimal
        return number
    return number if Decimal(repr(number)) == Decimal(literal) else orjson.Fragment(literal)


_EXACT: Final = json.JSONDecoder(parse_int=_exact_int, parse_float=_exact_float, object_pairs_hook=_object)


def _shown(name: str) -> str | None:
    """Return the name if an error's text may quote it; a name can be as long and odd as any other string."""
    return name if 0 < len(name) <= _MAX_NAME_CHARS and name.isprintable() else None


def check_chat(body: dict[str, Any]) -> None:
    """Check the types of what the proxy itself reads of a chat completion; the provider judges the rest.

    Raises BodyError with code invalid_type, invalid_value or missing_required_parameter.
    """
    check_model(body)
    check_messages(body)
    # checked inline: most bodies have few of them, and a call takes longer
    if "stream" in body or "stream_options" in body:
        check_stream(body)
    if "max_tokens" in body:
        check_integer(body, "max_tokens", MAX_OUTPUT_TOKENS)
    if "max_completion_tokens" in body:
        check_integer(body, "max_completion_tokens", MAX_OUTPUT_TOKENS)
    if "n" in body:
        check_integer(body, "n", MAX_CHOICES)
    if "models" in body:
        check_models(body)


def check_stream(body: dict[str, Any]) -> None:
    stream = body.get("stream")
    if stream is not None and stream.__class__ is not bool:
        raise BodyError("invalid_type", f"stream must be true or false; found {kind_of(stream)}.", "stream")
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise BodyError(
            "invalid_type", f"stream_options must be an object; found {kind_of(options)}.", "stream_options"
        )


def check_model(body: dict[str, Any]) -> None:
    model = body.get("model")
    if model.__class__ is str and 0 < len(model) <= MAX_MODEL_CHARS and _is_printable(model):
        return
    if "model" not in body:
        raise BodyError(
            "missing_required_parameter",
            "model is missing. GET /v1/models lists the models you may use.",
            "model",
        )
    if not isinstance(model, str):
        raise BodyError("invalid_type", f"model must be a string; found {kind_of(model)}.", "model")
    raise BodyError("invalid_value", f"model must be a name of 1 to {MAX_MODEL_CHARS} printable characters.", "model")


_is_printable = lru_cache(maxsize=256)(str.isprintable)  # a few names come again and again


def check_messages(body: dict[str, Any]) -> None:
    if "messages" not in body:
        raise BodyError(
            "missing_required_parameter", "messages is missing: a list of at least one message.", "messages"
        )
    messages = body["messages"]
    if not isinstance(messages, list):
        raise BodyError("invalid_type", f"messages must be a list; found {kind_of(messages)}.", "messages")
    if not messages:
        raise BodyError("invalid_value", "messages must hold at least one message; the list is empty.", "messages")
    for i, message in enumerate(messages):
        if message.__class__ is not dict:
            raise BodyError(
                "invalid_type", f"messages[{i}] must be an object; found {kind_of(message)}.", f"messages[{i}]"
            )
        if message.get("role").__class__ is not str:
            found = kind_of(message["role"]) if "role" in message else "none"
            raise BodyError(
                "invalid_type", f"messages[{i}].role must be a string; found {found}.", f"messages[{i}].role"
            )


def check_integer(body: dict[str, Any], name: str, most: int, least: int = 1) -> None:
    value = body.get(name)
    if value is None:
        return
    if type(value) is not int:  # isinstance takes a bool for an int, and providers refuse 1.0 and 2**64
        raise BodyError("invalid_type", f"{name} must be an integer of at least {least}; found {kind_of(value)}.", name)
    if value < least:
        raise BodyError("invalid_value", f"{name} must be at least {least}; found {value}.", name)
    if value > most:
        raise BodyError("invalid_value", f"{name} must be at most {most}; found {value}.", name)


def check_models(body: dict[str, Any]) -> None:
    models = body.get("models")
    if models is None:
        return
    if not isinstance(models, list):
        raise BodyError("invalid_type", f"models must be a list of strings; found {kind_of(models)}.", "models")
    check_count(models, "models")
    for i, model in enumerate(models):
        if not isinstance(model, str):
            raise BodyError("invalid_type", f"models[{i}] must be a string; found {kind_of(model)}.", f"models[{i}]")
        if not 0 < len(model) <= MAX_MODEL_CHARS or not model.isprintable():
            text = f"models[{i}] must be a name of 1 to {MAX_MODEL_CHARS} printable characters."
            raise BodyError("invalid_value", text, f"models[{i}]")


def check_count(models: list[Any], name: str) -> None:
    """Raise BodyError for more models to fall back on than anybody means."""
    if len(models) > MAX_MODELS:
        raise BodyError("invalid_value", f"{name} may hold at most {MAX_MODELS} models; found {len(models)}.", name)


def wants_usage(body: dict[str, Any]) -> bool:
    """Return whether the caller asked for the usage chunk of a stream, as OpenAI defines it."""
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def kind_of(value: Any) -> str:
    """Return the name of a value's type for an error's text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, int):
        return "an integer"
    return "a number that is not a 64-bit integer"  # a float, or the literal of a number that no float can hold
