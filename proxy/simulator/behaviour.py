"""How the simulator answers: every switch, the ready-made behaviours, and which one is next. Pure.

A behaviour is a flat JSON object of the fields below. What it leaves out keeps the default, and the default
of every field is the provider at its best.
"""

from typing import Annotated, Any, Literal, Self

import orjson
from annotated_types import Len
from msgspec import Struct, field
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from proxy.simulator.faults import FAULTS
from proxy.simulator.profiles.profile import KINDS, FailureKind


class BehaviourError(ValueError):
    """The behaviour asked for does not exist or has a wrong field; the text says which."""


class Behaviour(BaseModel):
    """Every switch of one answer. Times in milliseconds, sizes in bytes, counts from 0."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    # --- what is said
    completion_tokens: int = Field(16, ge=0, description="Tokens of the answer; the request's maximum cuts it short")
    prompt_tokens: int | None = Field(None, ge=0, description="Tokens of the prompt; else counted from the messages")
    cached_tokens: int = Field(0, ge=0, description="Part of the prompt tokens that was read from a cache")
    cache_write_tokens: int = Field(0, ge=0, description="Part of the prompt tokens that was written to a cache")
    reasoning_tokens: int = Field(0, ge=0, description="Tokens of reasoning, on top of completion_tokens")
    friendly: bool = Field(False, description="Greet and explain instead of words that are made to break things")
    content: str | None = Field(None, description="Say this text instead of made-up words")
    refusal: str | None = Field(None, description="Refuse with this text (message.refusal)")
    finish_reason: str | None = Field(None, description="Overrule stop, length or tool_calls")
    native_finish_reason: str | None = Field(None, description="The provider's own word for it")
    tool_calls: int | None = Field(None, ge=0, description="Call the first N tools; else only where tool_choice asks")
    zero_completion: bool = Field(False, description="No token and a blank finish reason; is not charged")
    choice_error: bool = Field(
        False, description="Not streamed: choices[0].error beside part of the content; is not charged"
    )
    chunk_tokens: int = Field(1, ge=1, description="Tokens in one streamed chunk")
    obfuscation: bool = Field(False, description="OpenAI mode: the field obfuscation on every streamed chunk")

    # --- who answers
    provider: str | None = Field(None, description="provider on the wire; decides whether an aborted stream costs less")
    served_model: str | None = Field(
        None,
        description="model on the wire: plain (default), permaslug, or any id to serve and charge instead",
    )
    fail_models: list[str] = Field(
        default=[], description="These models fail, so that the request's models[] list is tried"
    )

    # --- money and usage
    cost_literal: str | None = Field(None, description="JSON text put behind cost verbatim, legal or not")
    cost_missing: bool = Field(False, description="usage without cost")
    cost_random: bool = Field(False, description="A made-up cost of up to 18 digits, different for each generation")
    extra_cost_pusd: int = Field(0, ge=0, description="Added to tokens x price, as server tools do")
    cost_in_generation: str | None = Field(None, description="JSON text of total_cost in /generation, verbatim")
    byok: bool = Field(False, description="Own provider key: cost is the fee, upstream_inference_cost the bill")
    is_byok_missing: bool = Field(False, description="usage without is_byok")
    upstream_cost: Literal["same", "null", "missing"] = Field(
        "same", description="cost_details.upstream_inference_cost where there is no own key"
    )
    usage: Literal["present", "missing", "null"] = Field("present", description="Whether usage comes at all")
    usage_literal: str | None = Field(None, description="JSON text put behind usage verbatim, legal or not")
    usage_at: Literal["last", "first", "every", "twice", "after_done"] = Field(
        "last", description="Streamed: the chunk that carries usage"
    )
    usage_shape: Literal["A", "B", "C"] = Field(
        "A", description="Streamed: A repeats the finish reason, B has it null, C has choices []"
    )
    cache_hit: bool = Field(False, description="Response cache: zero usage, cost 0, a new id")

    # --- bytes
    comments_before: int = Field(1, ge=0, description="Streamed: comments before the first chunk")
    comments_between: int = Field(0, ge=0, description="Streamed: comments before every further chunk")
    padding_units: int = Field(0, ge=0, description="Not streamed: units of white space before the JSON")
    done: bool = Field(True, description="data: [DONE] at the end of a stream")
    line_end: Literal["lf", "crlf", "cr"] = Field("lf", description="Line ends of the stream")
    split_bytes: int = Field(0, ge=0, description="Write the body in pieces of this size; 0 = as it comes")
    event_lines: bool = Field(False, description="event: lines in a chat stream")
    id_lines: bool = Field(False, description="id: lines in a chat stream")
    multi_line_data: bool = Field(False, description="Each event's JSON over several data: lines")
    bom: bool = Field(False, description="A byte order mark before the body")
    invalid_utf8: bool = Field(False, description="Bytes that are not UTF-8 inside the content")
    nul_bytes: bool = Field(False, description="NUL bytes in a comment")
    big_content_bytes: int = Field(0, ge=0, description="One token of the content is this long")
    body: str | None = Field(None, description="This text as the whole body, verbatim")
    content_type: str | None = Field(None, description="Overrules Content-Type")
    content_encoding: Literal["gzip", "deflate"] | None = Field(None, description="Compress, whatever was accepted")
    framing: Literal["chunked", "length", "close"] | None = Field(
        None, description="How the body's end is told; streams default to chunked, OpenAI's JSON to length"
    )
    generation_id_header: bool = Field(True, description="X-Generation-Id on answers")
    headers: list[Annotated[list[str], Len(2, 2)]] = Field(
        default=[], description="Further response headers as [name, value], legal or not"
    )
    raw_response: str | None = Field(
        None, description="These characters (Latin-1) are the whole response, status line included; then FIN"
    )
    keep_alive: bool = Field(True, description="false closes the connection after the answer")

    # --- time
    delay_ms: int = Field(0, ge=0, description="Before the headers")
    first_token_ms: int = Field(0, ge=0, description="After the headers, before the first chunk or the JSON")
    pace_ms: int = Field(0, ge=0, description="Before every chunk or unit of padding")
    split_interval_ms: int = Field(0, ge=0, description="Between the pieces of split_bytes")

    # --- errors
    error: str | None = Field(None, description="Answer with this error of the list in the documentation")
    error_status: int | None = Field(None, ge=100, le=999, description="Another status for the error")
    error_message: str | None = Field(None, description="Another text for the error")
    error_in_200: bool = Field(False, description="The error with status 200; in a stream as first and only event")
    retry_after: str | None = Field(None, description="Retry-After of an error, verbatim; empty = none")
    failure: FailureKind | None = Field(None, description="Fail in this way, in the words of the profile")
    stream_error_after: int | None = Field(None, ge=0, description="Streamed: an error event after N tokens")
    stream_error_code: int | str = Field(502, description="error.code of that event")
    stream_error_message: str = Field("Provider disconnected", description="error.message of that event")
    stream_error_form: Literal["choice", "empty_choices", "with_usage", "usage_after"] = Field(
        "choice",
        description="finish_reason error; choices []; usage in the same chunk; usage in a later chunk",
    )
    stream_error_done: bool = Field(False, description="data: [DONE] after the error event")

    # --- broken connections
    stop_at: (
        Literal[
            "before_headers",
            "in_headers",
            "after_headers",
            "after_chunks",
            "after_bytes",
            "before_usage",
            "after_usage",
        ]
        | None
    ) = Field(None, description="Where the answer stops")
    stop_after: int = Field(0, ge=0, description="How many chunks or body bytes come before the stop")
    stop_with: Literal["rst", "fin", "hang"] = Field("fin", description="TCP reset, TCP end, or silence")
    hang_ms: int = Field(0, ge=0, description="Length of the silence, then the answer goes on; 0 = for ever")
    charge_on_stop: Literal["by_provider", "nothing", "full"] = Field(
        "by_provider",
        description="What an unfinished stream costs: so far or all by provider, nothing, or all",
    )

    # --- look-up afterwards
    generation_delay_ms: int = Field(0, ge=0, description="How long /generation says 404 after the end")
    generation_missing: bool = Field(False, description="/generation says 404 for ever")
    generation_error: str | None = Field(None, description="/generation answers with this error")
    generation_other_id: bool = Field(False, description="/generation answers with another id inside")

    # --- the account
    billed_at_end: bool = Field(False, description="The account counts it when it ends, not when it began")
    rows_max: int | None = Field(None, ge=0, description="/analytics/query answers no more rows than this")

    @model_validator(mode="after")
    def _known_errors(self) -> Self:
        for name in (self.error, self.generation_error):
            if name is not None and name not in FAULTS:
                raise ValueError(f"unknown error {name!r}; known: {', '.join(sorted(FAULTS))}")
        return self


_CUT_CHUNKS = 3

NAMED_BEHAVIOURS: dict[str, dict[str, Any]] = {
    "ok": {},
    # streams
    "usage-shape-b": {"usage_shape": "B"},
    "usage-shape-c": {"usage_shape": "C"},
    "no-done": {"done": False},
    "many-comments": {"comments_before": 30, "comments_between": 3},
    "no-comments": {"comments_before": 0},
    "slow": {"pace_ms": 20, "first_token_ms": 50},
    "crlf": {"line_end": "crlf"},
    "cr": {"line_end": "cr"},
    "one-byte-pieces": {"split_bytes": 1, "completion_tokens": 4},
    "seven-byte-pieces": {"split_bytes": 7},
    "event-lines": {"event_lines": True},
    "id-lines": {"id_lines": True},
    "multi-line-data": {"multi_line_data": True},
    "bom": {"bom": True},
    "invalid-utf8": {"invalid_utf8": True},
    "nul-bytes": {"nul_bytes": True},
    "big-line": {"big_content_bytes": 1_000_000},
    "many-chunks": {"completion_tokens": 2_000},
    "wide-chunks": {"completion_tokens": 64, "chunk_tokens": 16},
    # not streamed
    "padding": {"padding_units": 5, "pace_ms": 5},
    "padding-then-error": {"padding_units": 3, "error": "provider-error", "error_in_200": True},
    "content-length": {"framing": "length"},
    "until-close": {"framing": "close"},
    "gzip": {"content_encoding": "gzip"},
    "deflate": {"content_encoding": "deflate"},
    # what is said
    "reasoning": {"reasoning_tokens": 8},
    "refusal": {"refusal": "I cannot help with that.", "finish_reason": "content_filter"},
    "content-filter": {"finish_reason": "content_filter"},
    "length": {"finish_reason": "length"},
    "tool-calls": {"tool_calls": 2},
    "zero-completion": {"zero_completion": True},
    "choice-error": {"choice_error": True},
    "cached-prompt": {"prompt_tokens": 1200, "cached_tokens": 800, "completion_tokens": 80},
    "cache-write": {"prompt_tokens": 1200, "cache_write_tokens": 800},
    "long-context": {"prompt_tokens": 250_000},
    # who answers
    "permaslug": {"served_model": "permaslug"},
    "no-cancel-provider": {"provider": "Groq"},
    "fallback": {"fail_models": ["openai/gpt-4o-mini"]},
    # money and usage
    "cost-exponent": {"cost_literal": "1.68e-4"},
    "cost-one-pico": {"cost_literal": "0.000000000001"},
    "cost-below-pico": {"cost_literal": "0.0000000000001234"},
    "cost-17-digits": {"cost_literal": "0.00012345678901234567"},
    "cost-40-digits": {"cost_literal": "0.0001234567890123456789012345678901234567"},
    "cost-zero": {"cost_literal": "0"},
    "cost-string": {"cost_literal": '"0.000168"'},
    "cost-negative": {"cost_literal": "-0.000168"},
    "cost-null": {"cost_literal": "null"},
    "cost-huge": {"cost_literal": "1e400"},
    "cost-nan": {"cost_literal": "NaN"},
    "cost-missing": {"cost_missing": True},
    "cost-random": {"cost_random": True},
    "cost-with-tools": {"extra_cost_pusd": 14_370_000_000},
    "byok": {"byok": True},
    "byok-fee": {"byok": True, "cost_literal": "0.00000084"},
    "is-byok-missing": {"is_byok_missing": True},
    "upstream-cost-null": {"upstream_cost": "null"},
    "upstream-cost-missing": {"upstream_cost": "missing"},
    "usage-missing": {"usage": "missing"},
    "usage-null": {"usage": "null"},
    "usage-first": {"usage_at": "first"},
    "usage-every": {"usage_at": "every"},
    "usage-twice": {"usage_at": "twice"},
    "usage-after-done": {"usage_at": "after_done"},
    "usage-absurd": {
        "usage_literal": '{"prompt_tokens":"12","completion_tokens":1.5,"total_tokens":1e30,"cost":0.000168}'
    },
    "response-cache-hit": {"cache_hit": True},
    # errors inside a stream
    "midstream-error-first": {"stream_error_after": 0},
    "midstream-error-after-3": {"stream_error_after": 3},
    "midstream-error-then-done": {"stream_error_after": 3, "stream_error_done": True},
    "midstream-error-empty-choices": {"stream_error_after": 3, "stream_error_form": "empty_choices"},
    "midstream-error-with-usage": {
        "stream_error_after": 3,
        "stream_error_form": "with_usage",
        "stream_error_code": 400,
        "stream_error_message": "Token limit reached",
        "stream_error_done": True,
    },
    "midstream-error-usage-after": {
        "stream_error_after": 3,
        "stream_error_form": "usage_after",
        "stream_error_done": True,
    },
    "midstream-error-string-code": {"stream_error_after": 3, "stream_error_code": "server_error"},
    "error-in-200": {"error": "provider-error", "error_in_200": True},
    # look-up afterwards
    "generation-late": {"usage": "missing", "generation_delay_ms": 300},
    "generation-missing": {"usage": "missing", "generation_missing": True},
    "generation-failing": {"usage": "missing", "generation_error": "server-error"},
    "generation-other-id": {"usage": "missing", "generation_other_id": True},
    "generation-other-cost": {"cost_in_generation": "0.009"},
    "no-generation-header": {"generation_id_header": False},
    # rate limits and retries
    "retry-after-date": {"error": "upstream-rate-limit", "retry_after": "Fri, 20 Nov 2026 12:00:00 GMT"},
    "retry-after-huge": {"error": "upstream-rate-limit", "retry_after": "86400000"},
    "retry-after-negative": {"error": "upstream-rate-limit", "retry_after": "-5"},
    "retry-after-junk": {"error": "upstream-rate-limit", "retry_after": "soon"},
    "retry-after-none": {"error": "upstream-rate-limit", "retry_after": ""},
    # broken connections
    "rst-before-headers": {"stop_at": "before_headers", "stop_with": "rst"},
    "fin-before-headers": {"stop_at": "before_headers", "stop_with": "fin"},
    "hang-before-headers": {"stop_at": "before_headers", "stop_with": "hang"},
    "fin-in-headers": {"stop_at": "in_headers", "stop_with": "fin"},
    "rst-in-headers": {"stop_at": "in_headers", "stop_with": "rst"},
    "rst-after-headers": {"stop_at": "after_headers", "stop_with": "rst"},
    "fin-after-headers": {"stop_at": "after_headers", "stop_with": "fin"},
    "hang-after-headers": {"stop_at": "after_headers", "stop_with": "hang"},
    "rst-after-3-chunks": {"stop_at": "after_chunks", "stop_after": _CUT_CHUNKS, "stop_with": "rst"},
    "fin-after-3-chunks": {"stop_at": "after_chunks", "stop_after": _CUT_CHUNKS, "stop_with": "fin"},
    "hang-after-3-chunks": {"stop_at": "after_chunks", "stop_after": _CUT_CHUNKS, "stop_with": "hang"},
    "pause-after-3-chunks": {
        "stop_at": "after_chunks",
        "stop_after": _CUT_CHUNKS,
        "stop_with": "hang",
        "hang_ms": 200,
    },
    "rst-after-100-bytes": {"stop_at": "after_bytes", "stop_after": 100, "stop_with": "rst"},
    "fin-after-100-bytes": {"stop_at": "after_bytes", "stop_after": 100, "stop_with": "fin"},
    "rst-before-usage": {"stop_at": "before_usage", "stop_with": "rst"},
    "fin-before-usage": {"stop_at": "before_usage", "stop_with": "fin"},
    "rst-after-usage": {"stop_at": "after_usage", "stop_with": "rst"},
    "fin-after-usage": {"stop_at": "after_usage", "stop_with": "fin"},
    "short-content-length": {
        "framing": "length",
        "stop_at": "after_bytes",
        "stop_after": 50,
        "stop_with": "fin",
    },
    # illegal or odd HTTP
    "wrong-content-type": {"content_type": "text/plain"},
    "lying-content-encoding": {"headers": [["Content-Encoding", "gzip"]]},
    "many-headers": {"headers": [[f"X-Many-{n}", "v"] for n in range(200)]},
    "redirect": {
        "raw_response": "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:9/elsewhere\r\n"
        "Content-Length: 0\r\n\r\n"
    },
    "no-http": {"raw_response": "SSH-2.0-OpenSSH_9.9\r\n"},
    "two-content-lengths": {
        "raw_response": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
        "Content-Length: 5\r\n\r\n{}abc"
    },
    "nul-in-header": {
        "raw_response": "HTTP/1.1 200 OK\r\nX-Odd: a\x00b\r\nContent-Type: application/json\r\n"
        "Content-Length: 2\r\n\r\n{}"
    },
    "empty-200": {"body": ""},
    "not-json": {"body": "<html>hello</html>"},
    "json-null": {"body": "null"},
    **{f"error-{name}": {"error": name} for name in FAULTS},
}

FAILURES: dict[str, dict[str, Any]] = {f"failure-{kind}": {"failure": kind} for kind in KINDS}
"""Further names, each for one failure of the profiles."""


def parse(fields: dict[str, Any], base: Behaviour) -> Behaviour:
    """Parse a behaviour from fields over base (``named`` first, if present).

    Raises BehaviourError with the wrong field in its text.
    """
    fields = dict(fields)
    if "named" in fields:
        name = fields.pop("named")
        ready = NAMED_BEHAVIOURS.get(name) or FAILURES.get(name)
        if ready is None and name not in NAMED_BEHAVIOURS:
            raise BehaviourError(f"no behaviour is named {name!r}; GET /_sim/behaviours lists them")
        fields = (ready or {}) | fields
    try:
        return Behaviour.model_validate({**base.model_dump(exclude_defaults=True), **fields})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BehaviourError(f"field {where}: {first['msg']}" if where else first["msg"]) from None


class _NextBehaviour(Struct):
    behaviour: Behaviour
    left: int


class Script(Struct):
    """Which behaviour the next request gets.

    The first that applies wins whole: header, model ``sim/<name>``, next, model, path, all, base.
    """

    base: Behaviour
    _next: list[_NextBehaviour] = field(default_factory=list)
    _models: dict[str, Behaviour] = field(default_factory=dict)
    _paths: dict[str, Behaviour] = field(default_factory=dict)
    _all: Behaviour | None = None
    _named: dict[str, Behaviour] = field(default_factory=dict)

    def set(self, request: dict[str, Any]) -> None:
        """Set ``{"for": "next" | "all" | "model:<id>" | "path:<end of path>", "count": N, ...fields}``."""
        fields = dict(request)
        target = fields.pop("for", "next")
        count = fields.pop("count", 1)
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise BehaviourError("field count: must be a whole number of at least 1")
        behaviour = parse(fields, self.base)
        if target == "next":
            self._next.append(_NextBehaviour(behaviour, count))
        elif target == "all":
            self._all = behaviour
        elif isinstance(target, str) and target.startswith("model:"):
            self._models[target.removeprefix("model:")] = behaviour
        elif isinstance(target, str) and target.startswith("path:"):
            self._paths[target.removeprefix("path:")] = behaviour
        else:
            raise BehaviourError('field for: must be "next", "all", "model:<id>" or "path:<end of path>"')

    def clear(self) -> None:
        self._next.clear()
        self._models.clear()
        self._paths.clear()
        self._all = None

    def shown(self) -> dict[str, Any]:
        def fields(behaviour: Behaviour) -> dict[str, Any]:
            return behaviour.model_dump(exclude_defaults=True)

        return {
            "base": fields(self.base),
            "next": [{"count": item.left, **fields(item.behaviour)} for item in self._next],
            "models": {name: fields(behaviour) for name, behaviour in self._models.items()},
            "paths": {name: fields(behaviour) for name, behaviour in self._paths.items()},
            "all": None if self._all is None else fields(self._all),
        }

    def named(self, name: str) -> Behaviour:
        """Return a predefined behaviour; raises BehaviourError if there is none of that name."""
        behaviour = self._named.get(name)
        if behaviour is None:
            behaviour = self._named[name] = parse({"named": name}, self.base)
        return behaviour

    def for_request(self, path: str, model: str, header: str | None) -> Behaviour:
        """Choose for one request to a model; uses up a ``next``."""
        if header:
            return self._from_header(header)
        if model.startswith("sim/"):
            return self.named(model.removeprefix("sim/"))
        if self._next:
            item = self._next[0]
            item.left -= 1
            if item.left == 0:
                self._next.pop(0)
            return item.behaviour
        if model in self._models:
            return self._models[model]
        return self.for_path(path) or self._all or self.base

    def for_path(self, path: str) -> Behaviour | None:
        """Return what was set for this path, the longest matching end first."""
        for end in sorted(self._paths, key=len, reverse=True):
            if path.endswith(end):
                return self._paths[end]
        return None

    def _from_header(self, header: str) -> Behaviour:
        if not header.startswith("{"):
            return self.named(header)
        try:
            fields = orjson.loads(header)
        except orjson.JSONDecodeError as error:
            raise BehaviourError(f"X-Sim-Behaviour is not valid JSON: {error}") from None
        return parse(fields, self.base)
