"""One table of the endpoints that use tokens: a row holds everything in which they differ.

No other part asks which endpoint it serves; all read these fields.
"""

from collections.abc import Callable, Container, Mapping
from typing import Any, Final, Literal, Protocol

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from proxy.core.endpoint_kind import MAXIMUM
from proxy.core.endpoint_kind import Endpoint as Kind
from proxy.core.errors import ApiError, anthropic_error_body, error_body, openrouter_error_body
from proxy.wire.body import check_chat
from proxy.wire.body_checks import check_completion, check_count_tokens, check_embedding, check_message, check_response
from proxy.wire.embeddings import read_embeddings
from proxy.wire.messages import MessagesMeter, message_error_event, read_message_answer
from proxy.wire.parameters import renamed, without_object
from proxy.wire.parsed_answer import ParsedAnswer
from proxy.wire.plain_answer import read_chat_answer
from proxy.wire.redact import ErrorScreen
from proxy.wire.responses import ResponsesMeter, read_response, response_error_event
from proxy.wire.sse import error_event, openrouter_error_event
from proxy.wire.stream_meter import StreamMeter
from proxy.wire.usage import Usage

ErrorShape = Literal["openai", "anthropic", "openrouter"]

ERROR_BODIES: Final[Mapping[ErrorShape, Callable[[ApiError, str | None], bytes]]] = {
    "openai": error_body,
    "anthropic": anthropic_error_body,
    "openrouter": openrouter_error_body,
}


class Meter(Protocol):
    """Listens to a stream on its way to the client; wire/stream_meter.py explains each attribute."""

    generation_id: str | None
    model: str | None
    provider: str | None
    finish_reason: str | None
    usage: Usage | None
    usage_is_last: bool
    usage_grows: bool
    usage_is_whole: bool
    cost_paths: tuple[tuple[str, ...], ...]
    error_seen: bool
    error: Mapping[str, Any] | None
    error_code: str | None
    error_type: str | None
    content_seen: bool
    says_nothing: bool
    screen: ErrorScreen | None
    done: bool
    goes_on: bool
    oversized: bool
    data_lines: int
    cuts: bool

    @property
    def least_tokens(self) -> int: ...

    @property
    def held(self) -> bytes: ...

    @property
    def finished(self) -> bool: ...

    def feed(self, chunk: bytes) -> bytes: ...

    def knows_chunks(self, read: bytes) -> bool: ...

    def finish(self) -> bytes: ...

    def release(self) -> bytes: ...


class ErrorEvent(Protocol):
    """Write the event that ends a stream by an error; answer_id is the one that the stream gave before."""

    def __call__(self, code: str, message: str, type_: str, request_id: str, answer_id: str | None) -> bytes: ...


class Endpoint(Struct, frozen=True):
    """One way to ask.

    name        the word of the ledger, and with a slash ahead the path behind /v1 and a provider's base URL
    kind        the word that prices go by
    maximum     the fields that bound the answer; the first is written where the request has none
    check       raises BodyError for what the proxy cannot read of a body
    read        reads an answer in one piece; None if it is no JSON object
    meter       makes the listener of a stream, hide_usage handed in; None: this endpoint has no streams
    error_event ends a stream that broke
    errors      the shape of errors
    asks_usage  the body can ask for usage (``usage.include``, ``stream_options``): elsewhere it comes unasked
    system      the field that takes a preset's system prompt; None: the shape has no such thing
    format      gives the fields that say what a chat completion's response_format says; None: there are none
    is_free     costs nothing and is not booked
    """

    name: str
    kind: Kind
    maximum: tuple[str, ...]
    check: Callable[[dict[str, Any]], None]
    read: Callable[[bytes], ParsedAnswer | None]
    meter: Callable[[bool], Meter] | None
    error_event: ErrorEvent
    errors: ErrorShape = "openai"
    asks_usage: bool = False
    system: Literal["messages", "instructions", "system"] | None = None
    format: Callable[[Any], dict[str, Any]] | None = None
    is_free: bool = False
    path: str = ""

    def __post_init__(self) -> None:
        force_setattr(self, "path", f"/{self.name}")

    def error_body(self, error: ApiError, request_id: str | None) -> bytes:
        """Write an error that is not an event of a stream."""
        return ERROR_BODIES[self.errors](error, request_id)

    def with_maximum(self, body: dict[str, Any], tokens: int | None) -> dict[str, Any]:
        """Write how long the answer may be, under the names that the client used, else under the first.

        No name says more than before: of two that differ a model may obey either.
        """
        if tokens is None or not self.maximum:
            return body
        named = {name: body[name] for name in self.maximum if body.get(name) is not None} or {self.maximum[0]: tokens}
        return {**body, **{name: min(old, tokens) if type(old) is int else tokens for name, old in named.items()}}

    def others(self, body: dict[str, Any]) -> tuple[str, ...]:
        """Return the fallback models that the checked body names beside the one asked for."""
        models = tuple(body.get("models") or ())
        if self.kind != "messages":
            return models
        return (*models, *(fallback["model"] for fallback in body.get("fallbacks") or ()))

    def without_listed(self, body: dict[str, Any], names: Container[str]) -> dict[str, Any]:
        """Return the body without some of the fallback models that it names."""
        fields: dict[str, Any] = {}
        if "models" in body:
            fields["models"] = [model for model in body["models"] or () if model not in names]
        if self.kind == "messages" and "fallbacks" in body:
            fields["fallbacks"] = [one for one in body["fallbacks"] or () if one["model"] not in names]
        return {**body, **fields}

    def without_others(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the body without the fields that name fallback models, as far as they say nothing else."""
        left_out = {"models", "route"}
        if self.kind == "messages" and all(set(fallback) == {"model"} for fallback in body.get("fallbacks") or ()):
            left_out.add("fallbacks")
        return {name: value for name, value in body.items() if name not in left_out}

    def renamed(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters that are named as for chat completions under the names that they have here.

        What this endpoint lacks is left out.
        """
        found = renamed(self.kind, defaults)
        if self.is_free:  # it counts a prompt: parameters of an answer do not belong there
            return {name: value for name, value in found.items() if name in _OF_PROMPTS}
        if self.format is not None and "response_format" in defaults:
            for name, value in self.format(defaults["response_format"]).items():
                both = isinstance(value, dict) and isinstance(found.get(name), dict)
                found[name] = {**found[name], **value} if both else value
        return found

    def with_defaults(self, defaults: Mapping[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        """Return the body with a preset's parameters, named as for chat completions, where the client sent none.

        A null is none: SDKs write one for a parameter that nobody set, and OpenAI reads it so.
        """
        if not defaults:
            return body
        found = without_object(self.renamed(defaults), body)
        if any(body.get(name) is not None for name in self.maximum):  # by any name: the client's own holds
            for name in self.maximum:
                found.pop(name, None)
        return {**found, **{name: value for name, value in body.items() if value is not None or name not in found}}

    def with_target_defaults(
        self, defaults: Mapping[str, Any], body: Mapping[str, Any], sent: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the body with a target's parameters, which replace the preset's but nothing that the client sent.

        A null is nothing sent, as in with_defaults().
        """
        found = {name: value for name, value in self.renamed(defaults).items() if sent.get(name) is None}
        found = without_object(found, body)
        if any(name in found for name in self.maximum):
            if any(sent.get(name) is not None for name in self.maximum):
                found = {name: value for name, value in found.items() if name not in self.maximum}
            else:  # of two names for one bound a model may obey either
                body = {name: value for name, value in body.items() if name not in self.maximum}
        return {**body, **found}

    def with_prompt_of_user(self, body: dict[str, Any], sent: Mapping[str, Any]) -> dict[str, Any]:
        """Return the body with a system prompt that is the preset's alone put before the user's first text.

        For models that take no system prompt; where the client sent one of its own the body stays as it is.
        """
        if self.system is None or (self.system != "messages" and sent.get(self.system) is not None):
            return body
        messages = body.get("messages")
        if self.system == "messages":
            own = sent.get("messages")
            if not messages or not own or len(messages) == len(own):  # nothing was put before the client's own
                return body
            prompt = _text_of(messages[0].get("content"))
            return body if prompt is None else {**body, "messages": _in_front(prompt, messages[1:])}
        prompt = _text_of(body.get(self.system))
        if prompt is None:
            return body
        rest = {name: value for name, value in body.items() if name != self.system}
        field = "messages" if self.system == "system" else "input"
        said = rest.get(field)
        if isinstance(said, str):
            return {**rest, field: _before(prompt, said)}
        return {**rest, field: _in_front(prompt, said)} if isinstance(said, list) else body

    def with_system(self, body: dict[str, Any], prompt: str) -> dict[str, Any]:
        """Return the body with a preset's system prompt first; a shape without system prompts stays as it is.

        A system message of the client's own is joined to it: many chat templates take one, at the beginning, only.
        """
        if self.system == "messages":
            return {**body, "messages": _before_messages(prompt, body["messages"])}
        if self.system is None:
            return body
        return {**body, self.system: _before(prompt, body.get(self.system))}


def _in_front(prompt: str, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the items with a prompt before the text of the first one of the user's."""
    for at, item in enumerate(items):
        content = item.get("content") if isinstance(item, dict) and item.get("role") == "user" else None
        if isinstance(content, str | list):
            return [*items[:at], {**item, "content": _before(prompt, content)}, *items[at + 1 :]]
    return [{"role": "user", "content": prompt}, *items]


_OF_PROMPTS: Final = frozenset(("tools", "tool_choice", "thinking"))  # Anthropic, reference of count_tokens
_SYSTEM_ROLES: Final = frozenset(("system", "developer"))  # the second is OpenAI's newer name of the first


def _text_of(content: Any) -> str | None:
    return content if isinstance(content, str) else None


def _before_messages(prompt: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages behind a system prompt, which takes in the client's own where it is their first."""
    first = messages[0]
    content = first.get("content")
    if first["role"] not in _SYSTEM_ROLES or not isinstance(content, str | list):
        return [{"role": "system", "content": prompt}, *messages]
    return [{**first, "content": _before(prompt, content)}, *messages[1:]]


def _before(prompt: str, own: Any) -> Any:
    """Return a text put before the client's own, which is a text or a list of text blocks."""
    if isinstance(own, list):
        return [{"type": "text", "text": prompt}, *own]
    return f"{prompt}\n\n{own}" if isinstance(own, str) and own else prompt


def _text_format(response_format: Any) -> dict[str, Any]:
    """Return the Responses API's form: the schema one level up, under text.format."""
    if not isinstance(response_format, dict):
        return {}
    inner = response_format.get("json_schema")
    flat = {"type": response_format.get("type"), **inner} if isinstance(inner, dict) else response_format
    return {"text": {"format": flat}}


def _output_config(response_format: Any) -> dict[str, Any]:
    """Return Anthropic's form, which has schemas only."""
    inner = response_format.get("json_schema") if isinstance(response_format, dict) else None
    schema = inner.get("schema") if isinstance(inner, dict) else None
    return {} if schema is None else {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def _chat_error_event(code: str, message: str, type_: str, request_id: str, answer_id: str | None) -> bytes:  # noqa: ARG001 - one signature for all shapes
    return error_event(code, message, type_, request_id)


CHAT: Final = Endpoint(
    name="chat/completions",
    kind="chat",
    maximum=MAXIMUM["chat"],
    check=check_chat,
    read=read_chat_answer,
    meter=StreamMeter,
    error_event=_chat_error_event,
    asks_usage=True,
    system="messages",
)

COMPLETIONS: Final = Endpoint(
    name="completions",
    kind="completions",
    maximum=MAXIMUM["completions"],
    check=check_completion,
    read=read_chat_answer,
    meter=StreamMeter,
    error_event=_chat_error_event,
    asks_usage=True,
)

EMBEDDINGS: Final = Endpoint(
    name="embeddings",
    kind="embeddings",
    maximum=MAXIMUM["embeddings"],
    check=check_embedding,
    read=read_embeddings,
    meter=None,
    error_event=_chat_error_event,
)

RESPONSES: Final = Endpoint(
    name="responses",
    kind="responses",
    maximum=MAXIMUM["responses"],
    check=check_response,
    read=read_response,
    meter=lambda _: ResponsesMeter(),
    error_event=response_error_event,
    system="instructions",
    format=_text_format,
)

MESSAGES: Final = Endpoint(
    name="messages",
    kind="messages",
    maximum=MAXIMUM["messages"],
    check=check_message,
    read=read_message_answer,
    meter=lambda _: MessagesMeter(),
    error_event=message_error_event,
    errors="anthropic",
    system="system",
    format=_output_config,
)

COUNT_TOKENS: Final = Endpoint(
    name="messages/count_tokens",
    kind="messages",
    maximum=(),
    check=check_count_tokens,
    read=read_message_answer,
    meter=None,
    error_event=message_error_event,
    errors="anthropic",
    is_free=True,
)


def as_openrouter(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint for clients that take us for OpenRouter; Anthropic's shapes are the same there."""
    if endpoint.errors != "openai":
        return endpoint
    event = openrouter_error_event if endpoint.error_event is _chat_error_event else endpoint.error_event
    return replace(endpoint, errors="openrouter", error_event=event)


OPENROUTER_CHAT: Final = as_openrouter(CHAT)

ENDPOINTS: Final = (CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, MESSAGES, COUNT_TOKENS)
