"""The ways to ask for tokens: one row for each path. Pure."""

from collections.abc import Callable, Iterator

from msgspec import Struct

from proxy.simulator import chat, completions, embeddings, messages, responses, sse
from proxy.simulator.reply import Event, SimulatedReply


class Api(Struct, frozen=True):
    """One way to ask: its path, what must be in the body, and how the reply is written."""

    path: str
    required: str
    body: Callable[[SimulatedReply], bytes]
    events: Callable[[SimulatedReply], Iterator[Event]] | None
    comment: bytes
    anthropic: bool = False


APIS: dict[str, Api] = {
    api.path: api
    for api in (
        Api("chat/completions", "messages", chat.body, chat.events, sse.CHAT_COMMENT),
        Api("completions", "prompt", completions.body, completions.events, sse.CHAT_COMMENT),
        Api("embeddings", "input", lambda reply: embeddings.body(reply, {}), None, sse.OTHER_COMMENT),
        Api("responses", "input", responses.body, responses.events, sse.OTHER_COMMENT),
        Api("messages", "messages", messages.body, messages.events, sse.OTHER_COMMENT, anthropic=True),
    )
}
