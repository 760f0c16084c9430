"""Server-sent events and padding: how the pieces of an answer are laid out as bytes, well or badly. Pure."""

from collections.abc import Iterable, Iterator

from proxy.simulator.behaviour import Behaviour
from proxy.simulator.reply import Event

PADDING = b"\n         \n"  # one unit of what OpenRouter sends before a JSON body while the model works
CHAT_COMMENT = b": OPENROUTER PROCESSING"
OTHER_COMMENT = b": "
_BOM = b"\xef\xbb\xbf"
_ENDS = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}


def stream(events: Iterable[Event], behaviour: Behaviour, comment: bytes | None) -> Iterator[Event]:
    """Yield events as bytes of a stream, with comments in between where comment is not None."""
    end = _ENDS[behaviour.line_end]
    comments = b""
    if comment is not None:
        line = comment + (b" \x00nul\x00" if behaviour.nul_bytes else b"")
        comments = (line + end * 2) * behaviour.comments_between
        before = (line + end * 2) * behaviour.comments_before
        if behaviour.bom:
            before = _BOM + before
        if before:
            yield Event("comment", before, 0)
    plain = behaviour.line_end == "lf" and not (
        behaviour.id_lines or behaviour.event_lines or behaviour.multi_line_data
    )
    for number, event in enumerate(events):
        if plain and event.name is None:
            data = b"data: " + event.data + b"\n\n"
        else:
            data = _frame(event, behaviour, number, end)
        if comments and number:
            data = comments + data
        yield Event(event.kind, data, event.tokens)


def _frame(event: Event, behaviour: Behaviour, number: int, end: bytes) -> bytes:
    lines = []
    name = event.name or ("message" if behaviour.event_lines else None)
    if name is not None:
        lines.append(b"event: " + name.encode())
    if behaviour.id_lines:
        lines.append(b"id: %d" % number)
    parts = [event.data]
    if behaviour.multi_line_data:
        parts = event.data.replace(b',"choices"', b',\n"choices"', 1).split(b"\n")
    lines += [b"data: " + part for part in parts]
    return end.join(lines) + end * 2


def whole(body: bytes, behaviour: Behaviour, tokens: int) -> Iterator[Event]:
    """Yield a JSON body, padding first."""
    if behaviour.bom:
        yield Event("comment", _BOM, 0)
    for _ in range(behaviour.padding_units):
        yield Event("padding", PADDING, 0)
    yield Event("body", body, tokens)
