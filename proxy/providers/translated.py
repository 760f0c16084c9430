"""A provider's answer in the form of the client's endpoint: translated as it is read, for every reader above."""

from collections.abc import Sequence

from proxy.providers.dialect import TranslationError, Translator
from proxy.providers.transport.base import ChunkPassage, Take, UpstreamResponse
from proxy.providers.transport.errors import TransportError
from proxy.wire.headers import header_lines, pick_response_headers

_WHOLE_MAX_BYTES = 64 << 20
_JSON, _EVENTS = ("content-type", "application/json"), ("content-type", "text/event-stream")
_OF_THE_BYTES = frozenset(("content-type", "content-length", "content-encoding"))  # they no longer fit


class TranslatedResponse:
    """An answer whose body is translated; all else is that of the one behind it."""

    def __init__(self, answer: UpstreamResponse, translator: Translator) -> None:
        self.status = answer.status
        self._answer = answer
        self._translator = translator
        self._ended = False
        self._is_error = not 200 <= answer.status < 300
        self._streams = not self._is_error and _media_type(answer) == translator.stream_type
        self.headers: Sequence[tuple[str, str]] = answer.headers
        if not self._is_error:  # of an error nobody knows before its body whether it can be translated
            self._set_type(_EVENTS if self._streams else _JSON)

    @property
    def awaits_content(self) -> bool:
        return self._answer.awaits_content

    @awaits_content.setter
    def awaits_content(self, awaits: bool) -> None:
        self._answer.awaits_content = awaits

    def header(self, name: str) -> str | None:
        return next((value for each, value in self.headers if each.lower() == name), None)

    def passed(self, secret: str) -> dict[str, str]:
        return dict(pick_response_headers(self.headers, secret))

    def passed_lines(self, secret: str) -> str:
        return header_lines(self.passed(secret))

    @property
    def is_read(self) -> bool:
        return False

    @property
    def is_at_hand(self) -> bool:
        return self._answer.is_at_hand

    def whole(self) -> bytes | None:
        body = None if self._streams or self._ended else self._answer.whole()
        return None if body is None else self._translated(body)

    async def read(self) -> bytes:
        """Return the next piece that can be translated, an answer in one piece as one; b"" at the end."""
        if self._ended:
            return b""
        if not self._streams:
            return self._translated(await self._read_whole())
        while chunk := await self._answer.read():
            if piece := self._fed(chunk):
                return piece
        return self._finished()

    async def pump(self, take: Take, passage: ChunkPassage | None = None) -> bool:  # noqa: ARG002 - other bytes leave
        """Hand each translated piece to take; True at the end, False as soon as take says so."""

        def take_translated(chunk: bytes) -> bool:
            piece = self._fed(chunk)
            return take(piece) if piece else True

        if self._ended:
            return True
        if not self._streams:
            body = await self.read()
            return take(body) if body else True
        if not await self._answer.pump(take_translated):
            return False
        rest = self._finished()
        return take(rest) if rest else True

    def abort(self) -> None:
        self._answer.abort()

    def _fed(self, chunk: bytes) -> bytes:
        try:
            return self._translator.feed(chunk)
        except TranslationError as error:
            raise self._broken(error) from None

    def _finished(self) -> bytes:
        self._ended = True
        try:
            return self._translator.finish()
        except TranslationError as error:
            raise self._broken(error) from None

    async def _read_whole(self) -> bytes:
        pieces, size = [], 0
        while chunk := await self._answer.read():
            pieces.append(chunk)
            size += len(chunk)
            if size > _WHOLE_MAX_BYTES:
                self.abort()
                raise TransportError("broken", "the answer is larger than 64 MiB", dispatched=True)
        return b"".join(pieces)

    def _translated(self, body: bytes) -> bytes:
        self._ended = True
        if self._is_error:
            found = self._translator.error(self.status, body)
            if found is not None:
                self._set_type(_JSON)
            return body if found is None else found
        try:
            return self._translator.answer(body)
        except TranslationError as error:
            raise self._broken(error) from None

    def _broken(self, error: TranslationError) -> TransportError:
        self.abort()
        return TransportError("broken", f"its answer cannot be translated: {error}", dispatched=True)

    def _set_type(self, content_type: tuple[str, str]) -> None:
        kept = (header for header in self._answer.headers if header[0].lower() not in _OF_THE_BYTES)
        self.headers = (content_type, *kept)


def _media_type(answer: UpstreamResponse) -> str:
    return (answer.header("content-type") or "").partition(";")[0].strip().lower()
