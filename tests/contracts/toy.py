"""A provider that speaks like no other: another path, another header for its key, and lines instead of JSON.

request   POST <base>/v0/speak      X-Toy-Key: toy <key>
{"who": model, "say": [[role, text], …], "live": true, "most": tokens}
answer    lines, whole or as a stream ("live"), each ended by LF:
I:id    T:"text" as JSON    U:input,output,USD    E:why it ended    X:code:what went wrong    -  sign of life
error     the line X under a status of 4xx or 5xx
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from proxy.core.errors import ProviderError
from proxy.policy.pricing import PriceList
from proxy.providers.dialect import AccountApi, PreparedBody, TranslationError
from proxy.providers.key import Key
from proxy.wire.amount import amount_of
from proxy.wire.endpoint import CHAT, Endpoint
from proxy.wire.usage import NO_USAGE, Usage

STREAM_TYPE = "text/x-toy-live"
WHOLE_TYPE = "text/x-toy"
_REASONS = {"done": "stop", "most": "length"}
_LINE_MAX_BYTES = 1 << 20


class ToyTranslator:
    """Chat completions for the toy's lines. It speaks of one choice, in texts."""

    stream_type = STREAM_TYPE

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self._kept = b""  # a line that has not ended
        self._id = ""

    def request(self, body: dict[str, Any]) -> dict[str, Any]:
        if body.get("tools"):
            raise TranslationError("it knows no tools")
        said = [[message["role"], message.get("content")] for message in body["messages"]]
        if not all(isinstance(text, str) for _, text in said):
            raise TranslationError("it takes texts only")
        spoken: dict[str, Any] = {"who": body["model"], "say": said, "live": body.get("stream") is True}
        most = body.get("max_completion_tokens") or body.get("max_tokens")
        return spoken if most is None else {**spoken, "most": most}

    def answer(self, body: bytes) -> bytes:
        lines = body.split(b"\n")
        if lines.pop():
            raise TranslationError("its last line has no end")
        text, reason, usage = "", None, None
        for line in lines:
            word, rest = _parts(line)
            if word == b"X":
                return self._error(502, rest)
            if word == b"I":
                self._id = _text(rest)
            elif word == b"T":
                text += _quoted(rest)
            elif word == b"E":
                reason = _REASONS.get(_text(rest), "stop")
            elif word == b"U":
                usage = self._read_usage(rest)
        if reason is None:
            raise TranslationError("it does not say why it ended")
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": reason}
        found = {"id": self._id, "object": "chat.completion", "model": "toy", "choices": [choice]}
        return orjson.dumps(found if usage is None else {**found, "usage": usage})

    def feed(self, chunk: bytes) -> bytes:
        *lines, self._kept = (self._kept + chunk).split(b"\n")
        if len(self._kept) > _LINE_MAX_BYTES:
            raise TranslationError("a line of it is longer than 1 MiB")
        return b"".join(map(self._event, lines))

    def finish(self) -> bytes:
        if self._kept:
            raise TranslationError("its last line has no end")
        return b""

    def error(self, status: int, body: bytes) -> bytes | None:
        line = body.strip()
        return self._error(status, line[2:]) if line.startswith(b"X:") else None

    def _event(self, line: bytes) -> bytes:
        word, rest = _parts(line)
        if word == b"-":
            return b": alive\n\n"
        if word == b"I":
            self._id = _text(rest)
            return b""
        if word == b"X":
            return b"data: " + self._error(502, rest) + b"\n\n"
        if word == b"U":
            return self._chunk(usage=self._read_usage(rest), choices=[]) + b"data: [DONE]\n\n"
        if word == b"T":
            return self._chunk(choices=[{"index": 0, "delta": {"content": _quoted(rest)}, "finish_reason": None}])
        reason = _REASONS.get(_text(rest), "stop")
        return self._chunk(choices=[{"index": 0, "delta": {}, "finish_reason": reason}])

    def _chunk(self, **more: Any) -> bytes:
        head = {"id": self._id, "object": "chat.completion.chunk", "model": "toy"}
        return b"data: " + orjson.dumps({**head, **more}) + b"\n\n"

    def _read_usage(self, rest: bytes) -> dict[str, int]:
        """Keep the usage with its exact cost, which chat completions have no field for; return the counts."""
        try:
            tokens_in, tokens_out, usd = _text(rest).split(",")
            counts = {"prompt_tokens": int(tokens_in), "completion_tokens": int(tokens_out)}
        except ValueError:
            raise TranslationError("its usage cannot be read") from None
        cost_pusd, exact, problem = amount_of(usd)
        self.usage = NO_USAGE._replace(
            input_tokens=counts["prompt_tokens"],
            output_tokens=counts["completion_tokens"],
            cost_pusd=cost_pusd,
            cost_exact=exact,
            cost_problem=problem,
        )
        return {**counts, "total_tokens": sum(counts.values())}

    def _error(self, status: int, rest: bytes) -> bytes:
        code, _, message = _text(rest).partition(":")
        return CHAT.error_body(ProviderError(status, code or "unknown", message), None)


def _parts(line: bytes) -> tuple[bytes, bytes]:
    word, colon, rest = line.partition(b":")
    if word not in (b"I", b"T", b"U", b"E", b"X") or not colon:
        if line == b"-":
            return line, b""
        raise TranslationError("it holds a line of no known kind")
    return word, rest


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise TranslationError("it holds a text that is no UTF-8") from None


def _quoted(raw: bytes) -> str:
    try:
        found = json.loads(raw)
    except ValueError:
        raise TranslationError("it holds a text that cannot be read") from None
    if not isinstance(found, str):
        raise TranslationError("it holds a text that is none")
    return found


class ToyDialect:
    reports_cost = True
    takes_cost = True
    cost_paths: tuple[tuple[str, ...], ...] = ()
    cost_header: str | None = None
    has_generations = False
    falls_back = False
    list_paths: tuple[str, ...] = ("/v0/voices",)
    lists_prices = False
    key_path: str | None = None
    key_page: str | None = None
    account_api: AccountApi | None = None
    billing_page: str | None = "https://toy.example/pay"
    default_headers: Mapping[str, str] = {}

    @property
    def translator(self) -> Callable[[Endpoint], ToyTranslator]:
        return _translator

    def path(self, endpoint: Endpoint, model: str, *, streamed: bool) -> str:  # noqa: ARG002 - the protocol's signature
        return "/v0/speak"

    def auth_headers(self, key: Key) -> Mapping[str, str]:
        return {} if key.secret is None else {"X-Toy-Key": f"toy {key.secret.reveal()}"}

    def headers(self, sent: Mapping[str, str]) -> Mapping[str, str]:  # noqa: ARG002 - as above
        return {}

    def prepare(self, body: dict[str, Any], model: str, endpoint: Endpoint) -> PreparedBody:  # noqa: ARG002 - as above
        """Ask for nothing: the toy always tells its usage, which is hidden from a client that did not want it."""
        options = body.get("stream_options") or {}
        is_hidden = body.get("stream") is True and options.get("include_usage") is not True
        return {**body, "model": model}, is_hidden

    def read_prices(self, models: Sequence[Mapping[str, Any]]) -> PriceList:  # noqa: ARG002 - as above
        return PriceList({})

    def describe_key(self, body: bytes) -> str:  # noqa: ARG002 - as above
        return ""

    def cancel_stops_bill(self, served_by: str | None) -> bool:  # noqa: ARG002 - as above
        return False


def _translator(endpoint: Endpoint) -> ToyTranslator:
    if endpoint.kind != "chat":
        raise TranslationError(f"it has nothing like {endpoint.path}")
    return ToyTranslator()
