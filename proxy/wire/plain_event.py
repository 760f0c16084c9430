"""The events that nearly every stream of a chat begins and ends with, read by their schema as plain_answer.py does it.

It knows the plainest form alone: one choice with a text, a reason why it ended, a usage whose counts add up, no error.
For everything else it says nothing, and stream_meter.py reads it the general way.
"""

from typing import Annotated, Final, Literal

import msgspec

from proxy.wire.plain_answer import PlainUsage, plain_usage
from proxy.wire.usage import Usage

_DONE: Final = b"data: [DONE]"
_Never = Annotated[int, msgspec.Meta(ge=1, le=0)]  # of a field that may not be there: it may tell a usage
_NEVER: Final = 0


class _Delta(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What a choice says more: texts. All else is left to the general reader."""

    role: str | None = None
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: None = None
    tool_calls: None = None
    function_call: None = None


class _EventChoice(msgspec.Struct, gc=False):
    delta: _Delta
    index: Literal[0] | None = None
    finish_reason: str | None = None
    error: None = None
    message: None = None
    text: None = None
    usage: None = None

    @property
    def speaks(self) -> bool:
        """Return whether it says more than a role."""
        delta = self.delta
        return bool(delta.content or delta.reasoning or delta.reasoning_content)


class PlainMessage(msgspec.Struct, gc=False):
    """The JSON of an event; what stands behind the error are the names under which others tell a usage."""

    choices: Annotated[list[_EventChoice], msgspec.Meta(min_length=1, max_length=1)]
    usage: PlainUsage | None = None
    id: str | None = None
    model: str | None = None
    provider: str | None = None
    error: None = None
    x_groq: _Never = _NEVER
    usageMetadata: _Never = _NEVER  # noqa: N815 - Gemini's name
    usage_metadata: _Never = _NEVER
    timings: _Never = _NEVER
    eval_count: _Never = _NEVER
    prompt_eval_count: _Never = _NEVER


PlainEvent = tuple[bytes, PlainMessage | None, Usage | None]
"""An event without the empty line behind it, and what it says; without a message it is ``data: [DONE]``."""

_decode: Final = msgspec.json.Decoder(PlainMessage).decode


def read_plain_events(run: bytes) -> list[PlainEvent] | None:
    """Read a run of whole events, up to ``data: [DONE]``; None: it has to be read the general way.

    run ends with LF LF.
    """
    found: list[PlainEvent] = []
    for event in run[:-2].split(b"\n\n"):
        if found and found[-1][1] is None:  # something follows the end
            return None
        if event == _DONE:
            found.append((event, None, None))
            continue
        if event[:7] != b"data: {" or event.find(b"\n") >= 0 or event.find(b"\r") >= 0:
            return None
        try:
            message = _decode(event[6:].decode())  # msgspec looks at no byte of a text that it skips
        except (msgspec.MsgspecError, RecursionError, ValueError):
            return None
        usage = message.usage
        told = None if usage is None else plain_usage(usage)
        if usage is not None and told is None:
            return None
        found.append((event, message, told))
    return found
