"""Listen to a stream whose events have a ``type``: what all such streams have in common."""

from collections.abc import Mapping
from typing import Any, ClassVar

from proxy.wire.error import error_of_event, error_of_message
from proxy.wire.framed_meter import FramedMeter
from proxy.wire.parsed_answer import error_code, error_type, read_message, says_nothing, text_of
from proxy.wire.redact import NOTHING, ErrorScreen
from proxy.wire.sse import EventSplitter, data_spans, split_events
from proxy.wire.stream_meter import MAX_EVENT_BYTES
from proxy.wire.text_size import bytes_of_text, least_streamed_tokens
from proxy.wire.usage import Usage, later, with_cost


class TypedMeter(FramedMeter):
    """Feed it every chunk of the upstream's body; send the client what feed gives back. As StreamMeter in all else.

    From the event on that ends the stream nothing is given back but kept in ``held``, to be sent when the settlement
    is on disk. Of an event that came in pieces the first ones have gone; clients act on its end, and that is held. All
    that is given back plus ``held`` is, byte for byte, what came in. Usage comes unasked in these streams: nothing is
    hidden.
    """

    __slots__ = (
        "_events",
        "_held",
        "_holds",
        "_is_told",
        "content_seen",
        "cost_paths",
        "done",
        "error",
        "error_code",
        "error_seen",
        "error_type",
        "finish_reason",
        "frame_bytes",
        "generation_id",
        "goes_on",
        "model",
        "oversized",
        "provider",
        "says_nothing",
        "screen",
        "usage",
        "usage_grows",
        "usage_is_last",
        "usage_is_whole",
    )

    telling: ClassVar[tuple[bytes, ...]]
    """What stands in each event that is of interest once content was seen."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        super().__init__(max_event_bytes)
        self._events = EventSplitter(max_event_bytes)
        self._held = bytearray()
        self._holds = False  # what comes is kept in _held
        self._is_told = False  # the event that passes unread holds text
        self.generation_id: str | None = None
        self.model: str | None = None
        self.provider: str | None = None
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.usage_is_last = False
        self.usage_grows = False
        self.usage_is_whole = False
        self.cost_paths: tuple[tuple[str, ...], ...] = ()
        self.error_seen = False
        self.error: Mapping[str, Any] | None = None
        self.error_code: str | None = None
        self.error_type: str | None = None
        self.content_seen = False
        self.says_nothing = True
        self.screen: ErrorScreen | None = None  # removes the provider's key from errors
        self.done = False
        self.goes_on = False
        self.oversized = False
        self.frame_bytes = 0  # bytes of the first event with content, without its text

    @property
    def least_tokens(self) -> int:
        """Return how few tokens the text that came can be."""
        return least_streamed_tokens(self.told_bytes, self.data_lines, self.frame_bytes)

    @property
    def held(self) -> bytes:
        """Return the bytes from the last event on, at most max_event_bytes; more are dropped."""
        return bytes(self._held) if self.screen is None else self.screen.last(bytes(self._held))

    @property
    def finished(self) -> bool:
        """Return whether the answer has said why it ended, by whichever of its last events."""
        return self.finish_reason is not None

    def release(self) -> bytes:
        """Return what was held, and hold nothing from now on: the stream goes on after its end."""
        held, self._held, self._holds = self.held, bytearray(), False
        return held

    def _feed_closely(self, chunk: bytes) -> bytes:
        was_done = self.done
        begun_bytes = self._events.begun_bytes
        ended, events, begun = self._events.feed(chunk)
        self.oversized |= self._events.oversized
        if begun or ended:
            self._count_oversized(ended, begun)
        end_at = self._read(events, len(ended) - begun_bytes)
        self._nothing_begun = (
            self.content_seen and not self.usage_is_whole and not self.done and self._events.is_between_events
        )
        self._last_event = chunk  # the next may differ from it in its text alone
        if not self.done or (was_done and not self._holds):
            return chunk if self.screen is None else self.screen.pass_on(chunk, self._events.begun, len(chunk))
        if was_done:
            end_at = 0
        elif not end_at and self.screen is not None:
            self._hold(self.screen.take())
        self._holds = True
        self._hold(chunk[end_at:])
        given = chunk[:end_at]
        return given if self.screen is None else self.screen.pass_on(given, NOTHING, len(chunk))

    def finish(self) -> bytes:
        """Read a last event that no empty line ended, at the end of the body. Returns b"": nothing is kept back."""
        begun = self._events.finish()
        self._nothing_begun = False
        if begun:
            self._read(begun, 0)
        return b"" if self.screen is None else self.screen.finish()

    def note(self, message: dict[str, Any], data: bytes) -> bool:
        """Record what an event says; data is its JSON. Return whether it ends the stream."""
        raise NotImplementedError

    def note_origin(self, answer: dict[str, Any]) -> None:
        """Record who answers, from the object that describes the whole answer."""
        self.generation_id = self.generation_id or text_of(answer, "id")
        self.model = text_of(answer, "model") or self.model
        self.provider = text_of(answer, "provider") or self.provider

    def note_usage(self, usage: Usage | None, message: dict[str, Any], data: bytes, *, is_last: bool) -> None:
        """Record a usage that counts output; is_last: it is the final one."""
        if self.cost_paths:
            usage = with_cost(usage, message, data, self.cost_paths)
        if usage is not None:
            self.usage = usage if self.usage is None else later(self.usage, usage)
            self.usage_is_whole = True
            self.usage_is_last = is_last

    def note_content(self) -> None:
        """Record content, which an earlier usage cannot have counted."""
        self.content_seen = True
        self.usage_is_whole = self.usage_is_last = False

    def note_error(self, message: dict[str, Any]) -> None:
        """Record the error in a message, if there is one."""
        self._take_error(error_of_message(message))

    def _take_error(self, error: Mapping[str, Any] | None) -> None:
        if error is None:
            return
        self.error_seen = True
        self.error = error
        self.error_code = error_code(error) or self.error_code
        self.error_type = error_type(error) or self.error_type

    def _read(self, events: bytes, at: int) -> int:
        """Read complete events, the first of which begins at an index of the chunk, before it if below 0.

        Returns the index at which the event that ends the stream begins; any number if there is none.
        """
        if self._is_silent(events):
            self._size_up(events)
            return 0
        end_at = 0
        for event in split_events(events):
            was_done = self.done
            self._size_up(event)
            self._read_one(event)
            if self.done and not was_done:
                end_at = max(0, at)
            at += len(event)
        return end_at

    def _size_up(self, events: bytes) -> None:
        self.data_lines += events.count(b"data:")
        self.told_bytes += bytes_of_text(events)

    def _count_oversized(self, ended: bytes, begun: bytes) -> None:
        """Count the parts of an event that passes unread: as its begin is, so is the rest."""
        if self._is_told:
            self.told_bytes += len(ended)
        if begun:
            self._is_told = bytes_of_text(begun) > 0
            self.told_bytes += len(begun) if self._is_told else 0

    def _read_one(self, event: bytes) -> None:
        if len(event) > self._max_event_bytes:
            self.oversized = True
            self.usage_is_whole = self.usage_is_last = False  # whatever it says, it may cost
            self.says_nothing = False
            return
        if self._is_silent(event):
            return
        if self.screen is not None:
            event = self.screen.without_secret(event)  # its words may be quoted
        spans = data_spans(event)
        if spans:
            data = b"\n".join([event[slice(*span)] for span in spans])
        elif event.lstrip().startswith((b"{", b"[")):
            data = event  # plain JSON where a stream was asked for
        else:
            return
        if data.startswith(b"[DONE]"):  # OpenRouter sends it behind the last event, too
            self.done = True
            return
        message = read_message(data)
        if not self.content_seen and b"error" in event and (message is None or not message.get("error")):
            self._take_error(error_of_event(event, data))
        self.says_nothing = self.says_nothing and message is not None and says_nothing(message)
        if message is None:
            return
        if self.done:
            self._note_after_end(message, data)
        elif self.note(message, data):
            self.done = True

    def _note_after_end(self, message: dict[str, Any], data: bytes) -> None:
        """Record what follows the last event; content there means that it was not the last."""
        before, self.content_seen = self.content_seen, False
        if not self.note(message, data) and self.content_seen:
            self.goes_on = True
        self.content_seen = self.content_seen or before

    def _is_silent(self, events: bytes) -> bool:
        """Return whether complete events certainly hold nothing that still matters, by scans alone."""
        return (
            self.content_seen
            and not self.done
            and not self.usage_is_whole
            and len(events) <= self._max_event_bytes
            and self._passes(events)
        )

    def _passes(self, events: bytes) -> bool:
        if events.find(b"[DONE]") >= 0:
            return False
        return all(events.find(word) < 0 for word in self.telling)

    def _hold(self, part: bytes) -> None:
        room = self._max_event_bytes - len(self._held)
        self.oversized |= len(part) > room
        self._held += part[: max(0, room)]
