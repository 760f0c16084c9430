"""Remove a provider's key from the provider's errors: some quote the key that they refuse.

Only errors and headers are checked. A model's answer is passed on as it is.
"""

from typing import Any, Final

from proxy.wire.error import error_of_message
from proxy.wire.parsed_answer import read_message
from proxy.wire.sse import data_spans, split_events

HIDDEN: Final = b"[key]"
NOTHING: Final = bytearray()
_ERROR: Final = b'"error"'
_HELD_MAX_BYTES: Final = 1 << 16  # no error is longer; a larger event passes


def redacted(body: bytes, secret: bytes) -> bytes:
    """Return the text of an error without the secret; b"" is none."""
    return body.replace(secret, HIDDEN) if secret and secret in body else body


def redacted_errors(events: bytes, secret: bytes, *, suspect: bool = False) -> bytes:
    """Return a run of events, those that tell an error without the secret.

    suspect: the first of them names an error, and may have lost its begin, which has gone out.
    """
    if secret not in events:
        return events
    return b"".join(
        [_redacted_event(event, secret, suspect=suspect and not n) for n, event in enumerate(split_events(events))]
    )


def _redacted_event(event: bytes, secret: bytes, *, suspect: bool) -> bytes:
    if secret not in event:
        return event
    message = read_message(b"\n".join([event[slice(*span)] for span in data_spans(event)]) or event)
    tells = suspect or b"error" in event if message is None else _tells_error(message)
    return event.replace(secret, HIDDEN) if tells else event


def _tells_error(message: dict[str, Any]) -> bool:
    response = message.get("response")  # a failed one holds its error
    return error_of_message(message) is not None or (isinstance(response, dict) and bool(response.get("error")))


class ErrorScreen:
    """Between a meter that passes bytes as they come and the client: holds an event that may be an error to its end.

    A key that a provider quotes could come in two pieces, and the first must not be gone when the second shows it.
    """

    __slots__ = ("_gone", "_held", "secret")

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self._held = b""
        self._gone = b""  # the last bytes that went out, if they were of an event that had not ended

    def pass_on(self, given: bytes, begun: bytearray, chunk_bytes: int) -> bytes:
        """Return what may go out of given; begun is the event that has not ended, chunk_bytes how much came last."""
        # the word itself may have come in pieces
        tells = bool(begun) and begun.find(_ERROR, max(0, len(begun) - chunk_bytes - len(_ERROR))) >= 0
        if tells or self._held or self.secret in given:
            given = self._screened(given, begun, tells=tells)
        if given:
            self._gone = given[-len(_ERROR) :] if begun else b""
        return given

    def _screened(self, given: bytes, begun: bytearray, *, tells: bool) -> bytes:
        suspect = bool(self._held)
        tells = tells or (suspect and _ERROR in begun)
        given = self._held + given
        at = len(given) - min(len(begun), len(given))
        ended, rest = given[:at], given[at:]
        ended = redacted_errors(ended, self.secret, suspect=suspect or self._named_in_pieces(ended))
        if tells and len(begun) <= _HELD_MAX_BYTES:
            self._held = rest
            return ended
        self._held = b""
        return ended + rest

    def take(self) -> bytes:
        """Return the begin of the last event, which is kept from going out with the rest of it."""
        held, self._held = self._held, b""
        if held:
            self._gone = _ERROR  # its rest need not name it again
        return held

    def _named_in_pieces(self, events: bytes) -> bool:
        return bool(self._gone) and _ERROR in self._gone + next(split_events(events), b"")

    def last(self, events: bytes) -> bytes:
        """Return the end of the stream, which is kept from going out, without the secret."""
        return redacted_errors(events, self.secret, suspect=self._named_in_pieces(events))

    def without_secret(self, events: bytes) -> bytes:
        """Return events that are whole, those that tell an error without the secret."""
        return redacted_errors(events, self.secret)

    def finish(self) -> bytes:
        """Return what is held, at the end of all."""
        held, self._held = self._held, b""
        return redacted_errors(held, self.secret, suspect=True)
