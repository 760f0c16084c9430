"""Listen to a stream on its way to the client: pass the bytes on, record what they say."""

from collections.abc import Mapping
from typing import Any, Final

from proxy.wire.answer_text import EVENT_BYTES, text_of_choices
from proxy.wire.error import error_of_event, error_of_message
from proxy.wire.framed_meter import FramedMeter
from proxy.wire.parsed_answer import choices_of, error_code, error_type, read_message, says_nothing, text_of
from proxy.wire.plain_event import PlainMessage, read_plain_events
from proxy.wire.redact import NOTHING, ErrorScreen
from proxy.wire.sse import EventSplitter, begun_line, data_spans, find_done, split_events
from proxy.wire.text_size import LARGE_BYTES, bytes_of_text, least_streamed_tokens
from proxy.wire.token_classes import AMBIGUOUS, choice_of_usage
from proxy.wire.usage import Usage, later, read_usage, with_cost, with_doubt
from proxy.wire.usage_filter import without_usage

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
"""Room for a picture in one event; what is larger passes unread."""
_LAST_LINE: Final = b"\ndata: [DONE]\n\n"
_FRAMING_BYTES: Final = 2  # the empty line behind an event
_DONE_BYTES: Final = len(_LAST_LINE) - 1
_PROCESSING: Final = b": OPENROUTER PROCESSING\n\n"  # the comment that comes most often


class StreamMeter(FramedMeter):
    """Feed it every chunk of the upstream's body; send the client what feed gives back.

    From the line ``data: [DONE]`` on nothing is given back but kept in ``held``, to be sent when the
    settlement is on disk. Where content comes behind that line (goes_on), it was not the end: release() gives
    what was held, and from then on nothing is held any more. With hide_usage the usage that only the proxy asked
    for is taken out (see usage_filter.py), and an event is given back when it is complete; otherwise all that is given
    back plus ``held`` is, byte for byte, what came in.

    At the end of the body call finish(). The attributes are true at any time for what has come so far:

    generation_id   the first id seen
    model, provider the last seen
    finish_reason   the last that was not null
    usage           what all usages that made sense say together, wherever they came: first, after an error or [DONE]
    usage_is_whole  nothing that costs came after it
    usage_is_last   it came when all was said: with or after a finish reason or an error, or without a choice. Otherwise
                    it counts what had been said so far, and is the whole only if the stream came to its end
    usage_grows     usage was told more than once, or before the answer had an end
    error_seen      an error object came, of any shape; error is what wire/error.py makes of it, and is nowhere kept;
                    error_code and error_type are words of it, never its text
    content_seen    some delta said more than a role: the point of no return for a fallback
    says_nothing    no event held content, a count, or anything else that could be a part of an answer; a choice that
                    began and did not end, or ended by the word for a failure, is none
    done            [DONE] came
    goes_on         content came after [DONE]
    oversized       something was too large to be read and passed unread
    data_lines      how many lines with data came: about one a token with most providers
    """

    __slots__ = (
        "_cut_cr",
        "_events",
        "_held",
        "_hide_usage",
        "_holds",
        "_is_between",
        "_is_told",
        "_line",
        "_of_choices",
        "_read_done",
        "_speaking",
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

    def __init__(self, hide_usage: bool = False, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        super().__init__(max_event_bytes)
        self._hide_usage = self.cuts = hide_usage
        self._events: EventSplitter | None = None  # made for the first event that comes in pieces
        self._line = b""  # the start of the line within which the bytes given back ended
        self._held = bytearray()
        self._holds = False  # what comes is kept in _held
        self._read_done = False  # the event that holds [DONE] was read
        self._is_told = False  # the event that passes unread holds text
        self._speaking: set[int] = set()  # choices with content that have not said why they ended
        self._of_choices: dict[int, Usage] = {}  # what choices told of themselves, where they do
        self._cut_cr = False  # the event that came last was left out up to a CR, of which the LF may follow
        self._is_between = True  # the last chunk ended with an event, or none has come
        self.generation_id: str | None = None
        self.model: str | None = None
        self.provider: str | None = None
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.usage_is_last = False
        self.usage_grows = False
        self.usage_is_whole = False
        self.cost_paths: tuple[tuple[str, ...], ...] = ()  # where the provider reports the cost, if not in the usage
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
        """Return the bytes from ``data: [DONE]`` on, at most max_event_bytes; more are dropped."""
        held = bytes(self._held)
        return held if self.screen is None or held.find(self.screen.secret) < 0 else self.screen.last(held)

    @property
    def finished(self) -> bool:
        """Return whether each choice with content has said why it ended."""
        return self.finish_reason is not None and not self._speaking

    def release(self) -> bytes:
        """Return what was held, and hold nothing from now on: the stream goes on after [DONE]."""
        held, self._held, self._holds = self.held, bytearray(), False
        return held

    def _feed_closely(self, chunk: bytes) -> bytes:
        plain = None
        if self._is_between and chunk[-2:] == b"\n\n" and not self.done and not self._hide_usage:
            plain = self._feed_plainly(chunk)
        given = self._feed_any(chunk) if plain is None else plain
        self._nothing_begun = (
            self._is_between
            and not self._cut_cr
            and self.content_seen
            and not self.usage_is_whole
            and not self.done
            and self.finish_reason is None
        )
        self._last_event = chunk  # the next may differ from it in its text alone
        return given

    def _feed_plainly(self, chunk: bytes) -> bytes | None:
        """Return as _feed_any() does of whole events in the plainest form; None: nothing of them was read."""
        if chunk == _PROCESSING:
            return chunk
        screen = self.screen
        if (
            chunk[:6] != _LAST_LINE[1:7]
            or len(chunk) > self._known_max_bytes
            or self.cost_paths
            or (screen is not None and chunk.find(screen.secret) >= 0)
        ):
            return None
        events = read_plain_events(chunk)
        if events is None:
            return None
        first = events[0][1]
        if self.says_nothing and first is not None and not first.choices[0].speaks:
            return None
        self.data_lines += chunk.count(b"data:")
        self.told_bytes += len(chunk)
        for event, message, usage in events:
            if message is None:
                self.done = self._holds = self._read_done = True
                self._hold(chunk[-_DONE_BYTES:])
                return chunk[:-_DONE_BYTES]
            if not self.content_seen or not self._is_silent(event):
                self._note_plainly(message, usage, len(event))
        return chunk

    def _feed_any(self, chunk: bytes) -> bytes:
        screen = self.screen
        if self._is_between and chunk[-2:] == b"\n\n" and not self._hide_usage:
            given = self._until_done(chunk) if not self.done else self._give(chunk)
            self._read(chunk)
            if screen is not None and chunk.find(screen.secret) >= 0:  # all events are whole: else nothing is screened
                given = screen.pass_on(given, NOTHING, len(chunk))
        else:
            given = self._feed_hiding(chunk) if self._hide_usage else self._feed_passing(chunk)
            if screen is not None:
                gone = NOTHING if self._hide_usage or self._holds else self._splitter().begun
                given = screen.pass_on(given, gone, len(chunk))
            self._is_between = self._splitter().is_between_events and not self._line
        return given

    def finish(self) -> bytes:
        """Read a last event that no empty line ended, at the end of the body; return what hiding kept back."""
        self._nothing_begun = False
        if self._is_between and not self._hide_usage:
            return b""
        begun = self._splitter().finish()
        if self._hide_usage:
            rest = self._hide(begun)
            return rest if self.screen is None else self.screen.without_secret(rest)
        self._read(begun)
        return b"" if self.screen is None else self.screen.finish()

    def _feed_passing(self, chunk: bytes) -> bytes:
        given = self._until_done(chunk) if not self.done else self._give(chunk)
        splitter = self._splitter()
        ended, events, begun = splitter.feed(chunk)
        self._read(events)
        if begun or ended:
            self._count_oversized(ended, begun)
        self.oversized |= splitter.oversized
        return given

    def _splitter(self) -> EventSplitter:
        if self._events is None:
            self._events = EventSplitter(self._max_event_bytes)
        return self._events

    def _until_done(self, chunk: bytes) -> bytes:
        window = self._line + chunk if self._line else chunk
        at = window.find(b"[DONE]")
        if at == len(window) - 8 and window[-15:] == _LAST_LINE:  # as nearly every stream ends
            at -= 6
        elif at >= 0:
            at = find_done(window)
        self._line = b"" if window[-1:] == b"\n" else begun_line(window)
        if at < 0:
            return chunk
        self.done = self._holds = True
        # Of a line that came in pieces the first ones have gone; clients act on its end, and that is held.
        at = max(0, at - (len(window) - len(chunk)))
        if not at and self.screen is not None:
            self._hold(self.screen.take())
        self._hold(chunk[at:])
        return chunk[:at]

    def _feed_hiding(self, chunk: bytes) -> bytes:
        splitter = self._splitter()
        if self._cut_cr:
            self._cut_cr = False
            if not splitter.begun:
                chunk = chunk.removeprefix(b"\n")
        ended, events, begun = splitter.feed(chunk)
        self.oversized |= splitter.oversized
        if begun or ended:
            self._count_oversized(ended, begun)
        given = self._give(ended) + self._hide(events) + self._give(begun)
        comments = splitter.take_comments()
        return given + self._give(comments) if comments else given

    def _hide(self, events: bytes) -> bytes:
        if b"[DONE]" not in events and self._is_silent(events):  # saves parsing what only needs to be cut
            self._size_up(events)
            return self._give(self._cut(events))
        return b"".join([self._hide_one(event) for event in split_events(events)])

    def _hide_one(self, event: bytes) -> bytes:
        self._size_up(event)
        self._read_one(event)
        event = self._cut_one(event)
        if self.done or b"[DONE]" not in event or (at := find_done(event)) < 0:
            return self._give(event)
        self.done = self._holds = self._read_done = True
        self._hold(event[at:])
        return event[:at]

    def _cut(self, events: bytes) -> bytes:
        if events.find(b'"usage"') < 0:
            return events
        return b"".join([self._cut_one(event) for event in _whole_events(events)])

    def _cut_one(self, event: bytes) -> bytes:
        """Return the event without usage."""
        self._cut_cr = False
        if b'"usage"' not in event or len(event) > self._max_event_bytes:
            return event
        less = without_usage(event)
        self._cut_cr = event.endswith(b"\r") and len(less) < len(event) and not data_spans(less)
        return less

    def _give(self, part: bytes) -> bytes:
        return self._hold(part) if self._holds else part

    def _hold(self, part: bytes) -> bytes:
        room = self._max_event_bytes - len(self._held)
        self.oversized |= len(part) > room
        self._held += part[: max(0, room)]
        return b""

    def _read(self, events: bytes) -> None:
        if self._is_silent(events):
            self._size_up(events)
            return
        is_one = events.find(b"\n\n") == len(events) - 2 and events.find(b"\r") < 0
        at, had_content = 0, self.content_seen
        for event in (events,) if is_one else _whole_events(events):
            self._size_up(event)
            self._read_one(event)
            at += len(event)
            if self.content_seen is not had_content and self._is_silent(events[at:]):  # all behind the first content
                self._size_up(events[at:])
                return
            had_content = self.content_seen

    def _size_up(self, events: bytes) -> None:
        lines = events.count(b"data:")
        self.data_lines += lines
        if len(events) > LARGE_BYTES:
            self.told_bytes += bytes_of_text(events)
        elif lines:
            self.told_bytes += len(events)

    def _count_oversized(self, ended: bytes, begun: bytes) -> None:
        """Count the parts of an event that passes unread: as its begin is, so is the rest."""
        if self._is_told:
            self.told_bytes += len(ended)
        if begun:
            self._is_told = bytes_of_text(begun) > 0
            self.told_bytes += len(begun) if self._is_told else 0

    def _passes(self, events: bytes) -> bool:
        # find costs half as much as `in`; nearly every read of a stream comes here, or is known
        return (
            events.find(b"[DONE]") < 0
            and (events.find(b'"usage"') < 0 or events.count(b'"usage"') == events.count(b'"usage":null'))
            and (events.find(b'"error"') < 0 or events.count(b'"error"') == events.count(b'"error":null'))
            and events.count(b'"finish_reason"') == events.count(b'"finish_reason":null')
        )

    def _is_silent(self, events: bytes) -> bool:
        """Return whether complete events certainly hold nothing that still matters, by scans alone."""
        return (
            self.content_seen
            and not self.done
            and self.finish_reason is None  # little follows from here on, though another choice may
            and not self.usage_is_whole  # what follows a usage may cost more than it says
            and len(events) <= self._max_event_bytes
            and (events.find(b'"usage"') < 0 or events.count(b'"usage"') == events.count(b'"usage":null'))
            and (events.find(b'"error"') < 0 or events.count(b'"error"') == events.count(b'"error":null'))
            and events.count(b'"finish_reason"') == events.count(b'"finish_reason":null')
        )

    def _read_one(self, event: bytes) -> None:
        if len(event) > self._max_event_bytes:
            self.oversized = True
            self.usage_is_whole = self.usage_is_last = False  # whatever it says, it may cost
            self.says_nothing = False
            return
        if self._is_silent(event):
            return
        if self.screen is not None and event.find(self.screen.secret) >= 0:
            event = self.screen.without_secret(event)  # its words may be quoted
        if self.done and not self._read_done and event.find(b"[DONE]") >= 0:
            self._read_done = event[:12] == _LAST_LINE[1:13] or find_done(event) >= 0
        if event[:6] == b"data: " and event.find(b"\n") == len(event) - 2 and event.find(b"\r") < 0:
            data = event[6:-2]  # as data_spans() has it, for the one line that nearly every event is
        elif event[:1] == b":" and event.find(b"\n") == len(event) - 2 and event.find(b"\r") < 0:
            return  # a comment
        elif spans := data_spans(event):
            data = b"\n".join([event[slice(*span)] for span in spans])
        elif event.lstrip().startswith((b"{", b"[")):
            data = event  # plain JSON where a stream was asked for
        else:
            return
        if data[:6] != b"[DONE]":
            message = read_message(data)
            if message is None:
                self.says_nothing = False
            else:
                self._note(message, data)
        if not self.error_seen and not self.content_seen and event.find(b"error") >= 0:
            self._note_error(error_of_event(event, data))

    def _note(self, message: dict[str, Any], data: bytes) -> None:
        id_, model, provider = message.get("id"), message.get("model"), message.get("provider")
        # as text_of(), which is in another file and takes longer to call
        self.generation_id = self.generation_id or (id_ if id_.__class__ is str and id_ else None)
        self.model = model if model.__class__ is str and model else self.model
        self.provider = provider if provider.__class__ is str and provider else self.provider
        choices = message.get("choices")
        if choices.__class__ is not list or len(choices) != 1 or choices[0].__class__ is not dict:
            choices = choices_of(message)
        speaks = fails = ends = False
        for choice in choices:
            if _says_something(choice):
                speaks = True
                if not self.content_seen:
                    self.content_seen = True
                    self.frame_bytes = len(data) + EVENT_BYTES - len(text_of_choices(choices))
                self.goes_on = self._read_done
                self._speaking.add(_index(choice))
            finish_reason = choice.get("finish_reason")
            if finish_reason.__class__ is str and finish_reason:
                ends = True
                self.finish_reason = finish_reason
                self._speaking.discard(_index(choice))
            fails = fails or bool(choice.get("error"))
        if speaks:
            self.says_nothing = False
        elif self.says_nothing:
            self.says_nothing = says_nothing(message) or _only_begins(message)
        if fails or not choices or message.get("error"):
            self._note_error(error_of_message(message))
        usage = read_usage(message, data)
        if self.cost_paths:
            usage = with_cost(usage, message, data, self.cost_paths)
        if usage is not None:
            index = None if message.get("usage").__class__ is dict else choice_of_usage(message)
            if index is not None:
                usage = self._with_other_choices(index, usage)
        self._note_usage(usage, speaks, not choices or ends)

    def _note_plainly(self, message: PlainMessage, usage: Usage | None, event_bytes: int) -> None:
        """Record what _note() does of an event with one plain choice, which speaks unless something has been said."""
        choice = message.choices[0]
        finish_reason, speaks = choice.finish_reason, choice.speaks
        self.generation_id = self.generation_id or message.id or None
        self.model = message.model or self.model
        self.provider = message.provider or self.provider
        if speaks:
            self.says_nothing = False
            if not self.content_seen:
                self.content_seen = True
                text = choice.delta.content
                self.frame_bytes = event_bytes + _FRAMING_BYTES - (len(text) if text else 0)
            self._speaking.add(0)
        if finish_reason:
            self.finish_reason = finish_reason
            self._speaking.discard(0)
        self._note_usage(usage, speaks, bool(finish_reason))

    def _note_usage(self, usage: Usage | None, speaks: bool, ends: bool) -> None:
        """Record the usage that an event tells, or that it tells none; ends: it ends a choice, or has none."""
        if usage is not None:
            self.usage_grows = self.usage is not None or (self.finish_reason is None and not self.error_seen)
            self.usage = usage if self.usage is None else later(self.usage, usage)
            self.usage_is_whole = True
            # nothing can follow a message without choices, nor one that ends; with n > 1 another choice may go on
            is_end = ends or (self.finish_reason is not None and not speaks)
            self.usage_is_last = self.error_seen or is_end
        elif self.usage_is_whole:
            if speaks:
                self.usage_is_whole = self.usage_is_last = False
            elif self.finish_reason is not None and not self.error_seen:
                self.usage_is_last = True

    def _with_other_choices(self, index: int, usage: Usage) -> Usage:
        """Return what a choice tells together with what others have told: one prompt, the sum of what was written.

        It may count all of the answer instead: the more expensive reading counts, and is flagged.
        """
        self._of_choices[index] = later(self._of_choices.get(index), usage)
        if len(self._of_choices) == 1:
            return usage
        told = self._of_choices.values()
        written = [one.output_tokens for one in told if one.output_tokens is not None]
        thought = [one.reasoning_tokens for one in told if one.reasoning_tokens is not None]
        usage = usage._replace(output_tokens=sum(written), reasoning_tokens=sum(thought) if thought else None)
        return with_doubt(usage, AMBIGUOUS)

    def _note_error(self, error: Mapping[str, Any] | None) -> None:
        if error is not None:
            self.error_seen = True
            self.error = error
            self.error_code = error_code(error) or self.error_code
            self.error_type = error_type(error) or self.error_type


def _whole_events(run: bytes) -> list[bytes]:
    """Return the events of a run, as split_events() does."""
    if run[-2:] != b"\n\n" or run.find(b"\r") >= 0:
        return list(split_events(run))
    return [event + b"\n\n" for event in run[:-2].split(b"\n\n")]


def _index(choice: dict[str, Any]) -> int:
    index = choice.get("index")
    return index if index.__class__ is int else 0


def _only_begins(message: dict[str, Any]) -> bool:
    """Return whether a message only opens its choices: no content, no count, no end except for a failure."""
    return says_nothing({**message, "choices": None}) and not any(
        _says_something(choice) or text_of(choice, "finish_reason") not in (None, "error")
        for choice in choices_of(message)
    )


def _says_something(choice: dict[str, Any]) -> bool:
    """Return whether a choice has content of any kind: text, reasoning, tool calls, refusal, audio."""
    for key in ("delta", "message"):
        part = choice.get(key)
        if isinstance(part, dict) and any(value for name, value in part.items() if name != "role"):
            return True
    return bool(choice.get("text"))
