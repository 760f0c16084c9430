"""Serves one profile under its path: its answers, its refusals, its list of models, and books of its own.

The books are kept from what was said and from the prices of the row, never from the usage that was told.
"""

import asyncio
import functools
from collections.abc import Iterable
from typing import Any

import orjson
from msgspec import Struct

from proxy.simulator import completions, embeddings, headers, messages, responses, sse
from proxy.simulator.account import key_hash
from proxy.simulator.behaviour import Behaviour, BehaviourError, Script
from proxy.simulator.bill import Bill
from proxy.simulator.books import Books, Generation, RefusedRequest
from proxy.simulator.connection import Connection, Request
from proxy.simulator.faults import FAULTS, openai_error
from proxy.simulator.ids import Ids
from proxy.simulator.player import PlaybackProgress, PlaybackStopped, PlayedAnswer, Player
from proxy.simulator.profiles import chat
from proxy.simulator.profiles.models import listing_body
from proxy.simulator.profiles.profile import Profile, ProfileFailure, ProfileModel
from proxy.simulator.profiles.refuse import body_failure, filled, key_failure, row_of
from proxy.simulator.reply import Event, SimulatedReply, compose, count_prompt

_ID_PREFIXES = {
    "chat/completions": "chatcmpl",
    "messages": "msg",
    "responses": "resp",
    "completions": "cmpl",
    "embeddings": "embd",
}
_NOT_FOUND = ProfileFailure(404, {"error": {"message": "Not Found", "type": "invalid_request_error"}})


class _ProfileError(Exception):
    """The request gets this failure instead of an answer."""

    def __init__(self, failure: ProfileFailure) -> None:
        super().__init__(failure.status)
        self.failure = failure


class _ProfileRequest(Struct, frozen=True):
    """One request while it is answered."""

    api: str
    sequence: int
    name: str
    key: str
    session: str | None
    body: dict[str, Any]

    @property
    def stream(self) -> bool:
        return self.body.get("stream") is True and self.api != "embeddings"


class ProfileServer:
    """One profile of a running simulator; the only writer of its books."""

    def __init__(self, profile: Profile, script: Script, stamp: Ids) -> None:
        self.profile = profile
        self.books = Books()
        self._script = script
        self._stamp = stamp

    async def serve(self, request: Request, connection: Connection, path: str) -> None:
        """Answer one request; path is what stands behind the profile's base."""
        key = _key(self.profile, request)
        if request.method == "POST" and path in (self.profile.api, *self.profile.more):
            body = _object(request.body)
            name = body.get("model")
            session = request.headers.get("x-session-id")
            asked = _ProfileRequest(path, self._stamp.next(), name if isinstance(name, str) else "", key, session, body)
            await self._answer(request, connection, asked)
            return
        behaviour = self._script.for_path(request.target.partition("?")[0]) or self._script.base
        failure = key_failure(self.profile, key)
        if request.method != "GET" or path != "models" or self.profile.listing.form == "missing":
            failure = failure or _NOT_FOUND
        if failure is not None:
            await self._play(connection, behaviour, _whole(failure), failure.status, _type(failure), failure.headers)
            return
        await self._play(connection, behaviour, listing_body(self.profile), 200, headers.JSON)

    async def _answer(self, request: Request, connection: Connection, asked: _ProfileRequest) -> None:
        behaviour = self._script.base
        try:
            behaviour = self._behaviour(request, asked.name)
            if behaviour.raw_response is not None:
                self._note(asked, 0)
                await connection.send(behaviour.raw_response.encode("latin-1", "replace"))
                connection.cut(reset=False)
                return
            wants = self.profile.wants
            if wants is not None and wants[0] not in request.headers:
                raise _ProfileError(wants[1])  # noqa: TRY301  # one place writes all refusals
            row = self._checked(asked, behaviour)
        except _ProfileError as refused:
            await self._refuse(connection, behaviour, refused.failure, asked)
            return
        await self._generate(connection, self._reply(asked, behaviour, row), asked)

    def _behaviour(self, request: Request, name: str) -> Behaviour:
        path = request.target.partition("?")[0]
        try:
            return self._script.for_request(path, name, request.headers.get("x-sim-behaviour"))
        except BehaviourError as error:
            raise _ProfileError(ProfileFailure(400, {"error": {"message": str(error)}})) from None

    def _checked(self, asked: _ProfileRequest, behaviour: Behaviour) -> ProfileModel:
        """Return the model that answers; raises _RefusedError in the profile's words."""
        failures = self.profile.failures
        if behaviour.error is not None:
            fault = FAULTS[behaviour.error]
            told = openai_error(fault.status, fault.message)
            raise _ProfileError(ProfileFailure(fault.status, told, tuple(fault.headers.items())))
        if behaviour.failure is not None and behaviour.failure in failures:
            raise _ProfileError(filled(failures[behaviour.failure], asked.name))
        refused = key_failure(self.profile, asked.key)
        if refused is not None:
            raise _ProfileError(filled(refused, asked.name))
        row = row_of(self.profile, asked.name)
        if row is None:
            raise _ProfileError(filled(failures["unknown_model"], asked.name))
        if asked.api == self.profile.api:
            refused = body_failure(self.profile, asked.body, row, count_prompt(asked.body))
        if refused is not None:
            raise _ProfileError(refused)
        return row

    def _reply(self, asked: _ProfileRequest, behaviour: Behaviour, row: ProfileModel) -> SimulatedReply:
        identity = (
            self._stamp.openai_id(_ID_PREFIXES[asked.api], asked.sequence),
            asked.sequence,
            self._stamp.seed,
            self._stamp.now(),
        )
        served = (asked.name or row.id, self.profile.title, row.price)
        reply = compose(asked.body, behaviour, identity=identity, served=served, openai=True)
        if asked.api == "embeddings":
            reply.pieces, reply.reasoning, reply.calls = [], [], []
        return reply

    async def _generate(self, connection: Connection, reply: SimulatedReply, asked: _ProfileRequest) -> None:
        user = asked.body.get("user")
        generation = Generation(
            reply.id,
            reply.sequence,
            asked.api,
            reply.model,
            reply.provider,
            asked.stream,
            reply.prompt_tokens,
            asked.session,
            user if isinstance(user, str) else None,
            key_hash(asked.key),
            reply.created,
            self._stamp.monotonic_s(),
            finish_reason=reply.finish,
        )
        self.books.open(generation)
        progress = PlaybackProgress()
        on_complete = functools.partial(self._close, generation, reply, progress, stream=asked.stream)
        content_type, written = self._written(reply, asked)
        try:
            await self._play(
                connection, reply.behaviour, written, 200, content_type, progress=progress, on_complete=on_complete
            )
        except (asyncio.CancelledError, ConnectionResetError):
            if not generation.finished:
                on_complete()
            raise
        if not generation.finished:
            on_complete()

    def _written(self, reply: SimulatedReply, asked: _ProfileRequest) -> tuple[str, bytes | Iterable[Event]]:
        if not asked.stream:
            return headers.JSON, self._body(reply, asked)
        options = asked.body.get("stream_options")
        usage = isinstance(options, dict) and options.get("include_usage") is True
        if asked.api == "chat/completions":
            events = chat.events(reply, self.profile, asked=usage)
        elif asked.api == "messages":
            events = messages.events(reply)
        else:
            events = responses.events(reply) if asked.api == "responses" else completions.events(reply)
        return f"{headers.STREAM}; charset=utf-8", sse.stream(events, reply.behaviour, self.profile.stream.comment)

    def _body(self, reply: SimulatedReply, asked: _ProfileRequest) -> bytes:
        if asked.api == "chat/completions":
            return chat.body(reply, self.profile)
        if asked.api == "embeddings":
            return embeddings.body(reply, asked.body)
        if asked.api == "messages":
            return messages.body(reply)
        return responses.body(reply) if asked.api == "responses" else completions.body(reply)

    def _close(
        self, generation: Generation, reply: SimulatedReply, progress: PlaybackProgress, *, stream: bool
    ) -> None:
        """Write what is billed: all of a whole answer, of one that broke off what was said or all by the profile."""
        bill = self._bill(reply, progress, stream=stream)
        generation.prompt_tokens = bill.tokens.prompt
        generation.completion_tokens = bill.tokens.completion
        generation.cached_tokens = bill.tokens.cached
        generation.reasoning_tokens = bill.tokens.reasoning
        generation.cancelled = stream and not progress.complete
        self.books.close(generation, bill.charged_pusd)

    def _bill(self, reply: SimulatedReply, progress: PlaybackProgress, *, stream: bool) -> Bill:
        if progress.failed:
            return reply.bill_so_far(progress.tokens)
        if progress.complete or not stream or self.profile.hang_up == "runs_on":
            return reply.bill()
        return reply.bill_so_far(progress.tokens)

    async def _refuse(
        self, connection: Connection, behaviour: Behaviour, failure: ProfileFailure, asked: _ProfileRequest
    ) -> None:
        data = _whole(failure)
        if asked.stream and failure.in_stream:
            self._note(asked, 200)
            event = Event("error", data, 0, failure.event)
            await self._play(connection, behaviour, sse.stream([event], behaviour, None), 200, headers.STREAM)
            return
        self._note(asked, failure.status)
        await self._play(connection, behaviour, data, failure.status, _type(failure), failure.headers)

    def _note(self, asked: _ProfileRequest, status: int) -> None:
        refused = RefusedRequest(
            asked.sequence, asked.api, status, asked.name, asked.session, None, key_hash(asked.key)
        )
        self.books.errors.append(refused)

    async def _play(
        self,
        connection: Connection,
        behaviour: Behaviour,
        data: bytes | Iterable[Event],
        status: int,
        content_type: str,
        extra: tuple[tuple[str, str], ...] = (),
        *,
        progress: PlaybackProgress | None = None,
        on_complete: Any = lambda: None,
    ) -> None:
        """Send an answer: bytes as they are, events as a stream."""
        head = [("Date", headers.date(self._stamp.now())), ("Content-Type", behaviour.content_type or content_type)]
        head += extra
        if isinstance(data, bytes):
            answer = PlayedAnswer(status, head, [Event("body", data, 0)], "length", len(data))
        else:
            answer = PlayedAnswer(status, head, data, "chunked")
        player = Player(connection, behaviour, progress or PlaybackProgress(), on_complete)
        try:
            await player.play(answer)
        except PlaybackStopped:
            return


def _key(profile: Profile, request: Request) -> str:
    own = request.headers.get(profile.key_header, "") if profile.key_header is not None else ""
    return own or (request.headers.get("authorization", "").removeprefix("Bearer ") if profile.bearer else "")


def _object(data: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _whole(failure: ProfileFailure) -> bytes:
    return failure.body.encode() if isinstance(failure.body, str) else orjson.dumps(failure.body)


def _type(failure: ProfileFailure) -> str:
    return {"html": "text/html", "text": "text/plain; charset=utf-8"}.get(failure.shape, headers.JSON)
