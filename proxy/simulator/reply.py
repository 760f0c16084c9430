"""One generation before it is written in the shape of an API: who answers, what is said and costs. Pure."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson
from msgspec import Struct, field

from proxy.simulator import text
from proxy.simulator.behaviour import Behaviour
from proxy.simulator.bill import Bill, bill, uncharged
from proxy.simulator.prices import DemoPrice, Tokens
from proxy.simulator.structured import example

_IMAGE_TOKENS = 85  # what OpenAI counts for an image of low detail
_BYTES_PER_TOKEN = 4


class Event(NamedTuple):
    """One piece of a streamed answer. kind: comment, chunk, usage, error or done; tokens.

    Generated once it is out.
    """

    kind: str
    data: bytes
    tokens: int
    name: str | None = None


class ToolCall(Struct, frozen=True):
    """One call of a tool; the arguments as JSON text in pieces, one token each."""

    id: str
    name: str
    arguments: list[str]


class SimulatedReply(Struct):
    """What the model says; one token is one string of reasoning, pieces or a call's arguments."""

    id: str
    sequence: int
    seed: int
    created: int
    model: str
    provider: str
    openai: bool
    behaviour: Behaviour
    price: DemoPrice
    prompt_tokens: int
    reasoning: list[str]
    pieces: list[str]
    calls: list[ToolCall] = field(default_factory=list)
    refusal: str | None = None
    finish: str | None = "stop"
    native: str | None = "completed"
    choices: int = 1
    include_usage: bool = True
    _whole_bill: Bill | None = None

    @property
    def whole_tokens(self) -> int:
        said = len(self.reasoning) + len(self.pieces) + sum(len(call.arguments) for call in self.calls)
        return said * self.choices

    def tokens(self, completion: int) -> Tokens:
        cached = min(self.behaviour.cached_tokens, self.prompt_tokens)
        written = min(self.behaviour.cache_write_tokens, self.prompt_tokens - cached)
        reasoning = min(completion, len(self.reasoning) * self.choices)
        return Tokens(self.prompt_tokens, completion, cached, written, reasoning)

    def bill(self) -> Bill:
        """Price the whole answer (once: the wire and the books ask for it)."""
        if self._whole_bill is None:
            self._whole_bill = self._bill(self.whole_tokens, whole=True)
        return self._whole_bill

    def bill_so_far(self, completion: int) -> Bill:
        """Price an answer that ended after so many tokens."""
        return self._bill(completion, whole=False)

    def uncharged(self, completion: int) -> Bill:
        return uncharged(self.tokens(completion))

    def _bill(self, completion: int, *, whole: bool) -> Bill:
        tokens = self.tokens(completion)
        return bill(self.behaviour, self.price, tokens, seed=self.seed, sequence=self.sequence, whole=whole)


def count_prompt(body: dict[str, Any]) -> int:
    """Count the prompt of any API: four bytes of text a token, a fixed number for each image, at least 1.

    Never more than the bytes of what was sent, as with a real tokenizer.
    """
    source = body.get("messages", body.get("input", body.get("prompt", "")))
    size, media = _measure(source)
    for extra in (body.get("system"), body.get("instructions")):
        size += _measure(extra)[0]
    tools = body.get("tools")
    if tools:
        size += len(orjson.dumps(tools))
    tokens = max(1, size // _BYTES_PER_TOKEN)
    if media:
        tokens = min(tokens + media * _IMAGE_TOKENS, len(orjson.dumps(source)))
    return tokens


def _measure(node: Any) -> tuple[int, int]:
    """Return the bytes of text and the number of media parts under node."""
    if isinstance(node, str):
        return len(node.encode("utf-8", "surrogatepass")), 0
    if isinstance(node, list):
        sizes = [_measure(item) for item in node]
        return sum(s for s, _ in sizes), sum(m for _, m in sizes)
    if not isinstance(node, dict):
        return 0, 0
    if node.get("type") in (
        "image_url",
        "input_image",
        "image",
        "input_audio",
        "file",
        "input_file",
        "document",
    ):
        return 0, 1
    size, media = _measure(node.get("content"))
    return size + _measure(node.get("text"))[0], media


def _tool_names(body: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return name and parameter schema of each function offered, in any of the three APIs."""
    found = []
    for tool in body.get("tools") or []:
        if not isinstance(tool, dict):
            continue
        function = tool.get("function", tool)
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            schema = function.get("parameters", function.get("input_schema"))
            found.append((function["name"], schema or {"type": "object"}))
    return found


def _wanted_tools(body: dict[str, Any], behaviour: Behaviour) -> list[tuple[str, Any]]:
    tools = _tool_names(body)
    if behaviour.tool_calls is not None:
        return [tools[n % len(tools)] for n in range(behaviour.tool_calls)] if tools else []
    choice = body.get("tool_choice")
    if choice in ("required", "any"):
        return tools[:1]
    if isinstance(choice, dict):
        if choice.get("type") == "any":
            return tools[:1]
        name = choice.get("function", choice).get("name")
        return [tool for tool in tools if tool[0] == name][:1]
    return []


def _schema(body: dict[str, Any]) -> Any:
    """Return the JSON schema that the answer must follow, {} for any object, None for plain text."""
    form = body.get("response_format") or (body.get("text") or {}).get("format")
    if not isinstance(form, dict):
        return None
    if form.get("type") == "json_schema":
        return form.get("json_schema", form).get("schema", {})
    return {} if form.get("type") == "json_object" else None


def _maximum(body: dict[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        value = body.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return max(1, value)
    return None


def compose(
    body: dict[str, Any],
    behaviour: Behaviour,
    *,
    identity: tuple[str, int, int, int],
    served: tuple[str, str, DemoPrice],
    openai: bool,
) -> SimulatedReply:
    """Decide what is said to body. identity is (id, sequence, seed, created), served (model, provider.

    Price).
    """
    reply_id, sequence, seed, created = identity
    calls = [
        ToolCall(
            f"call_{text.alphanumerics(text.number(seed, f'call{index}', sequence), 24)}",
            name,
            text.pieces(orjson.dumps(example(schema)).decode()),
        )
        for index, (name, schema) in enumerate(_wanted_tools(body, behaviour))
    ]
    prompt = count_prompt(body) if behaviour.prompt_tokens is None else behaviour.prompt_tokens
    choices = body.get("n")
    options = body.get("stream_options")
    reply = SimulatedReply(
        reply_id,
        sequence,
        seed,
        created,
        *served[:2],
        openai,
        behaviour,
        served[2],
        prompt,
        reasoning=text.words(seed + 1, behaviour.reasoning_tokens),
        pieces=[] if calls else _pieces(body, behaviour, seed),
        calls=calls,
        refusal=behaviour.refusal,
        finish="tool_calls" if calls else "stop",
        native="completed",
        choices=choices if isinstance(choices, int) and not isinstance(choices, bool) and choices > 0 else 1,
        include_usage=not openai or (isinstance(options, dict) and options.get("include_usage") is True),
    )
    _finish(reply, _maximum(body))
    return reply


def _pieces(body: dict[str, Any], behaviour: Behaviour, seed: int) -> list[str]:
    if behaviour.zero_completion:
        return []
    if behaviour.refusal is not None:
        return text.pieces(behaviour.refusal)
    if behaviour.content is not None:
        return text.pieces(behaviour.content)
    schema = _schema(body)
    if schema is not None:
        return text.pieces(orjson.dumps(example(schema)).decode())
    if behaviour.friendly:
        return text.pieces(text.greeting(_question(body)))
    words = text.words(seed, behaviour.completion_tokens)
    if behaviour.big_content_bytes and words:
        words[0] = "x" * behaviour.big_content_bytes
    return words


def _question(body: dict[str, Any]) -> str:
    """Return the text of the last message, or of the prompt."""
    source = body.get("messages", body.get("input", body.get("prompt")))
    last = source[-1] if isinstance(source, list) and source else source
    content = last.get("content") if isinstance(last, dict) else last
    if isinstance(content, list):
        content = next((p["text"] for p in content if isinstance(p, dict) and isinstance(p.get("text"), str)), "")
    return content if isinstance(content, str) else ""


def _finish(reply: SimulatedReply, maximum: int | None) -> None:
    """Cut the reply to the request's maximum and set why it ended."""
    if maximum is not None and reply.whole_tokens > maximum * reply.choices:
        reply.reasoning = reply.reasoning[:maximum]
        left = maximum - len(reply.reasoning)
        reply.pieces = reply.pieces[:left]
        calls = []
        for call in reply.calls:
            calls.append(ToolCall(call.id, call.name, call.arguments[:left]))
            left -= len(calls[-1].arguments)
        reply.calls = calls
        reply.finish = "length"
        reply.native = "max_output_tokens"
    behaviour = reply.behaviour
    if behaviour.zero_completion:
        reply.reasoning, reply.calls = [], []
        reply.finish = reply.native = None
    if behaviour.finish_reason is not None:
        reply.finish = behaviour.finish_reason
    if behaviour.native_finish_reason is not None:
        reply.native = behaviour.native_finish_reason


def said(reply: SimulatedReply) -> Iterator[tuple[str, int, str, int]]:
    """Yield what one choice says in order: (part, index of the call, text, tokens).

    Chunk_tokens tokens at a time.
    """
    width = reply.behaviour.chunk_tokens
    part = "refusal" if reply.refusal is not None else "content"
    for kind, strings in (("reasoning", reply.reasoning), (part, reply.pieces)):
        for at in range(0, len(strings), width):
            group = strings[at : at + width]
            yield kind, 0, "".join(group), len(group)
    for index, call in enumerate(reply.calls):
        yield "call", index, "", 0
        for at in range(0, len(call.arguments), width):
            group = call.arguments[at : at + width]
            yield "arguments", index, "".join(group), len(group)
