"""The error object in a provider's answer, whatever its shape and place.

What is found is told in one form, a mapping: ``message`` is its text where there is one, ``code``, ``type``, ``status``
and all else stand as they came. The shapes, each seen on the wire:

    {"error": {…}}, {"error": "text", "code": …}    OpenAI and most; xAI, TGI, Ollama, LM Studio
    [{"error": {…}}], {"errors": […]}               Gemini's OpenAI endpoint; Cloudflare
    {"object": "error", "message": …}               Mistral, older vLLM and SGLang; message may be an object itself
    {"message": …}, {"detail": …}, {"msg": …}       Bedrock (with __type), Cohere; FastAPI, also a list; Z.ai, resellers
    {"base_resp": {"status_code", "status_msg"}}    MiniMax, under 200; status_code 0 is no error
    {"error_code": …, "error_msg": …}               Qianfan, under 200
    data: {…}                                       an event where JSON was asked for
    text                                            proxies in between; a page of HTML is no error object
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.core.text import whole_text
from proxy.wire.amount import read_exactly

_NESTED: Final = ("error", "errors", "Error", "err", "fault")
_TEXTS: Final = (
    "message",
    "msg",
    "Message",
    "detail",
    "error_message",
    "errorMessage",
    "error_msg",
    "errorMsg",
    "status_msg",
    "faultstring",
    "error_description",
    "description",
    "title",
    "reason",
    "text",
)
_CODES: Final = ("code", "status", "status_code", "error_code", "type", "error_type", "__type", "errorCode")
_ANSWERS: Final = ("choices", "data", "output", "content", "candidates", "input_tokens", "embeddings", "results")
_NAMED_ERROR: Final = re.compile(rb"^event:[ ]?error[ \t\r]*$", re.MULTILINE)
_DEPTH_MAX: Final = 8
_ITEMS_MAX: Final = 20
_CHARS_MAX: Final = 10_000  # of a text that is not JSON

Error = Mapping[str, Any]

_UNTOLD: Final[Error] = {"message": ""}  # of an error that is neither a text nor an object


def error_of_body(body: bytes) -> Error | None:
    """Return the error of a body whose status says that it is one; None for a page of HTML and for nothing at all.

    It never raises; bytes that are not UTF-8 are replaced.
    """
    text = body.strip()
    if not text or text.startswith(b"<"):
        return None
    message = _parsed(text)
    if message is None:
        message = _of_events(text)
    if message is None or isinstance(message, str):
        return {"message": (message or body.decode("utf-8", "replace")).strip()[:_CHARS_MAX]}
    return _error(message) or (message if isinstance(message, dict) else {})


def is_json_body(body: bytes) -> bool:
    """Return whether a body looks like a whole JSON object, or a list of one, as Gemini sends, by its two ends."""
    text = body.strip()
    return text[:1] + text[-1:] == b"{}" or (text[:1] == b"[" and text[1:].lstrip()[:1] == b"{" and text[-1:] == b"]")


def error_of_message(message: Mapping[str, Any]) -> Error | None:
    """Return the error that stands in a message under status 200, or in an event; None where it is an answer."""
    found = message.get("error")
    if found:
        return _error({"error": found, **_codes(message)}) or _UNTOLD
    choices = message.get("choices")
    if choices:
        return _of_choices(choices)
    if message.get("object") == "error" or message.get("type") == "error":
        return _error(message) or message
    response = message.get("response")
    if isinstance(response, dict) and response.get("error"):
        return _error(response) or _UNTOLD
    return _bare(message)


def error_of_event(event: bytes, data: bytes) -> Error | None:
    """Return the error of an event that calls itself one on its ``event:`` line, whatever its data is; else None."""
    return error_of_body(data) or _UNTOLD if _NAMED_ERROR.search(event) else None


def _of_choices(choices: Any) -> Error | None:
    """Return the error of the first choice that failed (OpenRouter)."""
    for choice in choices if isinstance(choices, list) else ():
        found = choice.get("error") if isinstance(choice, dict) else None
        if found:
            return _error({"error": found}) or _UNTOLD
    return None


def _bare(message: Mapping[str, Any]) -> Error | None:
    """Return the error of a message that calls itself none: it holds a text of one and nothing of an answer."""
    base = message.get("base_resp")
    if isinstance(base, dict) and base.get("status_code") not in (None, 0, "0"):
        return {**base, "message": _text(base.get("status_msg"), 0), "code": base.get("status_code")}
    if any(message.get(name) for name in _ANSWERS) or isinstance(message.get("usage"), dict):
        return None
    if isinstance(message.get("type"), str) and "code" not in message:  # an event identified by its type
        return None
    named = next(
        (name for name in ("errors", "Error", "err", "fault", "error_msg", "error_code") if message.get(name)), None
    )
    told = next((name for name in ("message", "msg", "detail", "Message") if message.get(name)), None)
    return _error(message) if named is not None or told is not None else None


def _error(value: Any, depth: int = 0) -> dict[str, Any] | None:
    """Return the innermost error object, with the codes that stand round it; None where there is none."""
    if depth > _DEPTH_MAX:
        return None
    if isinstance(value, str):
        inner = _parsed(value.encode("utf-8", "replace")) if value.lstrip()[:1] in ("{", "[") else None
        found = None if inner is None else _error(inner, depth + 1)
        return found or ({"message": whole_text(value[:_CHARS_MAX])} if value.strip() else None)
    if isinstance(value, list):
        errors = (_error(item, depth + 1) for item in value[:_ITEMS_MAX])
        return next((one for one in errors if one is not None), None)
    return _of_object(value, depth) if isinstance(value, dict) else None


def _of_object(value: dict[str, Any], depth: int) -> dict[str, Any] | None:
    for name in _NESTED:
        part = value.get(name)
        found = _error(part, depth + 1) if isinstance(part, str | list | dict) else None
        if found is not None:
            return {**_codes(value), **found} if "message" in found else {**value, **found}
    base = value.get("base_resp")
    if isinstance(base, dict):
        return {**base, "message": _text(base.get("status_msg"), 0), "code": base.get("status_code")}
    message = next((text for name in _TEXTS if (text := _text(value.get(name), depth))), "")
    if not message and not _codes(value):
        return None
    return {**value, "message": message} if message else dict(value)


def _codes(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands beside an error and says its kind. ``type: error`` says nothing."""
    return {name: value[name] for name in _CODES if value.get(name) not in (None, "", "error") and name in value}


def _text(value: Any, depth: int) -> str:
    """Return a text, those of a list, or that of an object: FastAPI's list of flaws with their places among them."""
    if isinstance(value, str):
        return whole_text(value)
    if depth > _DEPTH_MAX:
        return ""
    if isinstance(value, list):
        return "; ".join(text for item in value[:_ITEMS_MAX] if (text := _text(item, depth + 1)))
    if not isinstance(value, dict):
        return ""
    text = next((text for name in _TEXTS if (text := _text(value.get(name), depth + 1))), "")
    place, kind = value.get("loc"), value.get("type")
    if text and isinstance(place, list):
        text = f"{'.'.join(str(part) for part in place[:_ITEMS_MAX] if isinstance(part, str | int))}: {text}"
        return f"{text} ({kind})" if isinstance(kind, str) else text
    return text


def _of_events(text: bytes) -> Any:
    """Return the JSON of the first event that holds some."""
    for line in text.splitlines():
        if line.startswith(b"data:") and (message := _parsed(line[5:].strip())) is not None:
            return message
    return None


def _parsed(text: bytes) -> Any:
    """Return what a JSON text holds, one with flaws in it read leniently; None where it is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return read_exactly(text) if text[:1] in (b"{", b"[", b"\xef", b'"') else None
