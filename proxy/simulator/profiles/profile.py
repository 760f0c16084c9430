"""What a server's dialect is made of: the row that says how one of them speaks. Pure.

A row holds facts that its module took from public documentation and threads; the modules beside this one write an
answer by it. Prices are a demo, as those of the catalogue are: what counts is what the row says.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct, field

from proxy.simulator.prices import DemoPrice, per_million

FailureKind = Literal[
    "bad_key",
    "no_credit",
    "rate_limited",
    "context_full",
    "unknown_model",
    "no_tools",
    "no_pictures",
    "no_thinking",
    "content_refused",
    "overloaded",
    "broken",
]
KINDS: Final[Mapping[FailureKind, str]] = {
    "bad_key": "the key is refused",
    "no_credit": "the account is empty",
    "rate_limited": "too many requests",
    "context_full": "the prompt is too long",
    "unknown_model": "no such model",
    "no_tools": "the model takes no tools",
    "no_pictures": "the model takes no pictures",
    "no_thinking": "the model does not think",
    "content_refused": "the content is refused",
    "overloaded": "overloaded",
    "broken": "broken",
}
"""Each way to fail that every profile has words for, and what a table calls it."""

ALSO: Final = ("responses", "completions", "embeddings")
"""Other ways of asking, in the order of tables."""

Shape = Literal["object", "array", "text", "html"]


class ProfileFailure(Struct, frozen=True):
    """How a server reports one failure.

    status: of an answer that is not streamed, and of a stream unless in_stream. body: what it says, an object, an
    array or the characters of a text; ``{model}``, ``{field}``, ``{value}`` and ``{limit}`` are filled in.
    in_stream: a stream begins with 200 and reports it in its first event. event: the name of that event.
    """

    status: int
    body: Any
    headers: tuple[tuple[str, str], ...] = ()
    in_stream: bool = False
    event: str | None = None

    @property
    def shape(self) -> Shape:
        if isinstance(self.body, str):
            return "html" if self.body.startswith("<") else "text"
        return "array" if isinstance(self.body, list) else "object"


class ProfileUsage(Struct, frozen=True):
    """How usage is told.

    streamed: only when stream_options asks for it, always, or never. at: in a chunk of its own with empty choices, in
    the chunk with the finish reason, in the choice of that chunk, under x_groq there, in every chunk (growing), or in
    parts at both ends of the stream (Anthropic's events).
    reasoning: inside completion_tokens, beside them (total_tokens has both), or not told.
    cached: part of prompt_tokens told in prompt_tokens_details, in usage itself, as hit and miss, beside the input
    tokens (Anthropic's names), or not told. writes: written to a cache, told in the details, beside, or not.
    cost: what the answer says that it cost: ticks (1e-10 USD), an object with its parts, or nothing.
    details: prompt_tokens_details and completion_tokens_details come, if only with zeros.
    more: further fields that are always there.
    """

    streamed: Literal["asked", "always", "never"] = "asked"
    at: Literal["own_chunk", "finish", "choice", "x_groq", "every", "parts"] = "own_chunk"
    reasoning: Literal["inside", "beside", "unsaid"] = "inside"
    cached: Literal["details", "flat", "hit_miss", "beside", "unsaid"] = "unsaid"
    writes: Literal["details", "beside", "unsaid"] = "unsaid"
    cost: Literal["ticks", "object"] | None = None
    details: bool = True
    more: Mapping[str, Any] = field(default_factory=dict)


class ProfileStream(Struct, frozen=True):
    """How a stream looks.

    done: ``data: [DONE]`` at its end; without it the body just ends. comment: a line of life before the first chunk.
    first: a chunk before all others, with empty choices. thoughts: the field of a delta that holds reasoning.
    broken: what comes where the model breaks off in mid-stream, then the stream ends.
    done_after_broken: [DONE] comes behind it nevertheless. empty_first: the first delta holds no words.
    """

    done: bool = True
    comment: bytes | None = None
    first: Mapping[str, Any] | None = None
    thoughts: str = "reasoning_content"
    broken: ProfileFailure = field(
        default_factory=lambda: ProfileFailure(500, {"error": {"message": "Internal server error"}})
    )
    done_after_broken: bool = False
    empty_first: bool = True


class ProfileListing(Struct, frozen=True):
    """How /models looks: an OpenAI list, the items as a bare array, or no such path.

    context: where an item reports the model's context length, as a path with dots; more: further fields of an item.
    """

    form: Literal["list", "array", "missing"] = "list"
    context: str | None = None
    prefix: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)


class ProfileModel(Struct, frozen=True):
    """One model of a server. thinks: it can be asked to. caches: its price knows reads or writes of a cache."""

    id: str
    price: DemoPrice
    context: int = 128_000
    output: int = 16_384
    thinks: bool = False


class Profile(Struct, frozen=True):
    """One server.

    title: its name for people. address: the base_url to write for the real one. api: the way of asking that it is
    known for; more: the other ones that it has, in OpenAI's form.
    kind: the provider's kind in a configuration. failures: its words for each. told, stream, listing: see there.
    hang_up: whether closing a stream stops the bill, or the model runs on to the end and all of it is billed.
    refuses: fields that it does not take, and how it says so. known: all fields that it takes, where it is strict;
    strange: what it says of any other. over_output: what it says of a maximum above the model's; None: it lowers it.
    fills: the prompt and the maximum together must fit into the context.
    waits_s: how long it says to wait when a rate is reached, wherever and in whatever unit; None: it does not say.
    needs_key: it asks for one; key_header: the header for it besides Authorization; bearer: Authorization is taken at
    all. wants: a header that must be there, and what is said without it. notes: what an operator should know.
    """

    name: str
    title: str
    address: str
    models: tuple[ProfileModel, ...]
    failures: Mapping[FailureKind, ProfileFailure]
    told: ProfileUsage = ProfileUsage()
    stream: ProfileStream = field(default_factory=ProfileStream)
    listing: ProfileListing = ProfileListing()
    api: Literal["chat/completions", "messages"] = "chat/completions"
    more: frozenset[str] = frozenset()
    kind: Literal["openai", "openrouter"] = "openai"
    hang_up: Literal["stops", "runs_on"] = "stops"
    refuses: Mapping[str, ProfileFailure] = field(default_factory=dict)
    known: frozenset[str] | None = None
    strange: ProfileFailure | None = None
    over_output: ProfileFailure | None = None
    fills: ProfileFailure | None = None
    waits_s: float | None = None
    key_header: str | None = None
    needs_key: bool = True
    bearer: bool = True
    wants: tuple[str, ProfileFailure] | None = None
    notes: tuple[str, ...] = ()

    @property
    def base(self) -> str:
        """Return the path of the address, with a slash before and none behind it; empty for a bare host."""
        return "/" + path if (path := self.address.partition("://")[2].partition("/")[2].rstrip("/")) else ""

    @property
    def path(self) -> str:
        """Return where the simulator serves it."""
        return f"/profiles/{self.name}{self.base}"


def price(
    prompt: str, completion: str, cached: str | None = None, write: str | None = None, request: str = "0"
) -> DemoPrice:
    """Return a price from texts in USD per million tokens, and per thousand requests."""
    return DemoPrice(
        per_million(prompt),
        per_million(completion),
        None if cached is None else per_million(cached),
        None if write is None else per_million(write),
        request=per_million(request) * 1000,
    )


def openai_error(
    status: int, message: str, kind: str | None = None, code: Any = None, param: str | None = None, **headers: str
) -> ProfileFailure:
    """Return a failure in OpenAI's shape: all four keys under error. Underscores in header names become hyphens."""
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return ProfileFailure(status, body, _headers(headers))


def _headers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name.replace("_", "-"), value) for name, value in headers.items())


def anthropic_error(status: int, kind: str, message: str, **headers: str) -> ProfileFailure:
    """Return a failure in the shape of Anthropic's API; in a stream that has begun it is an event named error."""
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_simulator"}
    return ProfileFailure(status, body, _headers(headers), event="error")


def html(status: int, title: str) -> ProfileFailure:
    """Return the kind of page that a server in front of the API sends in its place."""
    head = f"<html>\r\n<head><title>{status} {title}</title></head>\r\n"
    return ProfileFailure(status, f"{head}<body>\r\n<h1>{status} {title}</h1>\r\n</body>\r\n</html>\r\n")
