"""Serves one profile under its path: its answers, its refusals, its list of models, and books of its own.

The books are kept from what was said and from the prices of the row, never from the usage that was told.
"""

import asyncio
import functools
from collections.abc import Iterable
from typing import Any

import orjson

from proxy.simulator import headers, messages, sse
from proxy.simulator.account import key_hash
from proxy.simulator.behaviour import Behaviour, BehaviourError, Script
from proxy.simulator.bill import Bill
from proxy.simulator.books import Books, Generation, Refused
from proxy.simulator.connection import Connection, Request
from proxy.simulator.faults import FAULTS, openai_error
from proxy.simulator.play import Answer, Player, Progress, Stopped
from proxy.simulator.profiles import chat
from proxy.simulator.profiles.models import listing_body
from proxy.simulator.profiles.profile import Failure, Profile, Row
from proxy.simulator.profiles.refuse import body_failure, filled, key_failure, row_of
from proxy.simulator.reply import Event, Reply, compose, count_prompt
from proxy.simulator.stamp import Stamp

_NOT_FOUND = Failure(404, {"error": {"message": "Not Found", "type": "invalid_request_error"}})


class _RefusedError(Exception):
    """The request gets this failure instead of an answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.status)
        self.failure = failure


class ProfileServer:
    """One profile of a running simulator; the only writer of its books."""

    def __init__(self, profile: Profile, script: Script, stamp: Stamp) -> None:
        self.profile = profile
        self.books = Books()
        self._script = script
        self._stamp = stamp

    async def serve(self, request: Request, connection: Connection, path: str) -> None:
        """Answer one request; path is what stands behind the profile's base."""
        key = _key(self.profile, request)
        if request.method == "POST" and path == self.profile.api:
            await self._answer(request, connection, key)
            return
        behaviour = self._script.for_path(request.target.partition("?")[0]) or self._script.base
        failure = None if self.profile.failures.get("bad_key") is None else key_failure(self.profile, key)
        if request.method != "GET" or path != "models" or self.profile.listing.form == "missing":
            failure = failure or _NOT_FOUND
        if failure is not None:
            await self._play(connection, behaviour, _whole(failure), failure.status, _type(failure), failure.headers)
            return
        await self._play(connection, behaviour, listing_body(self.profile), 200, headers.JSON)

    async def _answer(self, request: Request, connection: Connection, key: str) -> None:
        body = _object(request.body)
        name = body.get("model") if isinstance(body.get("model"), str) else ""
        assert isinstance(name, str)
        sequence, stream = self._stamp.next(), body.get("stream") is True
        behaviour = self._script.base
        try:
            behaviour = self._behaviour(request, name)
            if behaviour.raw_response is not None:
                self._note(sequence, 0, name, key)
                await connection.send(behaviour.raw_response.encode("latin-1", "replace"))
                connection.cut(reset=False)
                return
            row = self._checked(body, name, key, behaviour)
        except _RefusedError as refused:
            await self._refuse(connection, behaviour, refused.failure, sequence, name, key, stream=stream)
            return
        reply = self._reply(body, behaviour, row, name, sequence)
        session = request.headers.get("x-session-id")
        await self._generate(connection, reply, key, body, session=session, stream=stream)

    def _behaviour(self, request: Request, name: str) -> Behaviour:
        path = request.target.partition("?")[0]
        try:
            return self._script.for_request(path, name, request.headers.get("x-sim-behaviour"))
        except BehaviourError as error:
            raise _RefusedError(Failure(400, {"error": {"message": str(error)}})) from None

    def _checked(self, body: dict[str, Any], name: str, key: str, behaviour: Behaviour) -> Row:
        """Return the model that answers; raises _RefusedError in the profile's words."""
        failures = self.profile.failures
        if behaviour.error is not None:
            fault = FAULTS[behaviour.error]
            told = openai_error(fault.status, fault.message)
            raise _RefusedError(Failure(fault.status, told, tuple(fault.headers.items())))
        if behaviour.failure is not None and behaviour.failure in failures:
            raise _RefusedError(filled(failures[behaviour.failure], name))
        refused = key_failure(self.profile, key)
        if refused is not None:
            raise _RefusedError(filled(refused, name))
        row = row_of(self.profile, name)
        if row is None:
            raise _RefusedError(filled(failures["unknown_model"], name))
        refused = body_failure(self.profile, body, row, count_prompt(body))
        if refused is not None:
            raise _RefusedError(refused)
        return row

    def _reply(self, body: dict[str, Any], behaviour: Behaviour, row: Row, name: str, sequence: int) -> Reply:
        prefix = "msg" if self.profile.api == "messages" else "chatcmpl"
        identity = (self._stamp.openai_id(prefix, sequence), sequence, self._stamp.seed, self._stamp.now())
        return compose(
            body, behaviour, identity=identity, served=(name or row.id, self.profile.title, row.price), openai=True
        )

    async def _generate(
        self,
        connection: Connection,
        reply: Reply,
        key: str,
        body: dict[str, Any],
        *,
        session: str | None,
        stream: bool,
    ) -> None:
        generation = Generation(
            reply.id,
            reply.sequence,
            self.profile.api,
            reply.model,
            reply.provider,
            stream,
            reply.prompt_tokens,
            session,
            body.get("user") if isinstance(body.get("user"), str) else None,
            key_hash(key),
            reply.created,
            self._stamp.monotonic_s(),
            finish_reason=reply.finish,
        )
        self.books.open(generation)
        progress = Progress()
        on_complete = functools.partial(self._close, generation, reply, progress, stream=stream)
        content_type, written = self._written(reply, body, stream=stream)
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

    def _written(self, reply: Reply, body: dict[str, Any], *, stream: bool) -> tuple[str, bytes | Iterable[Event]]:
        anthropic = self.profile.api == "messages"
        if not stream:
            return headers.JSON, messages.body(reply) if anthropic else chat.body(reply, self.profile)
        options = body.get("stream_options")
        asked = isinstance(options, dict) and options.get("include_usage") is True
        events = messages.events(reply) if anthropic else chat.events(reply, self.profile, asked=asked)
        return f"{headers.STREAM}; charset=utf-8", sse.stream(events, reply.behaviour, self.profile.stream.comment)

    def _close(self, generation: Generation, reply: Reply, progress: Progress, *, stream: bool) -> None:
        """Write what is billed: all of a whole answer, of one that broke off what was said or all by the profile."""
        bill = self._bill(reply, progress, stream=stream)
        generation.prompt_tokens = bill.tokens.prompt
        generation.completion_tokens = bill.tokens.completion
        generation.cached_tokens = bill.tokens.cached
        generation.reasoning_tokens = bill.tokens.reasoning
        generation.cancelled = stream and not progress.complete
        self.books.close(generation, bill.charged_pusd)

    def _bill(self, reply: Reply, progress: Progress, *, stream: bool) -> Bill:
        if progress.failed:
            return reply.bill_so_far(progress.tokens)
        if progress.complete or not stream or self.profile.hang_up == "runs_on":
            return reply.bill()
        return reply.bill_so_far(progress.tokens)

    async def _refuse(
        self,
        connection: Connection,
        behaviour: Behaviour,
        failure: Failure,
        sequence: int,
        name: str,
        key: str,
        *,
        stream: bool,
    ) -> None:
        data = _whole(failure)
        if stream and failure.in_stream:
            self._note(sequence, 200, name, key)
            event = Event("error", data, 0, failure.event)
            await self._play(connection, behaviour, sse.stream([event], behaviour, None), 200, headers.STREAM)
            return
        self._note(sequence, failure.status, name, key)
        await self._play(connection, behaviour, data, failure.status, _type(failure), failure.headers)

    def _note(self, sequence: int, status: int, name: str, key: str) -> None:
        self.books.errors.append(Refused(sequence, self.profile.api, status, name, None, None, key_hash(key)))

    async def _play(
        self,
        connection: Connection,
        behaviour: Behaviour,
        data: bytes | Iterable[Event],
        status: int,
        content_type: str,
        extra: tuple[tuple[str, str], ...] = (),
        *,
        progress: Progress | None = None,
        on_complete: Any = lambda: None,
    ) -> None:
        """Send an answer: bytes as they are, events as a stream."""
        head = [("Date", headers.date(self._stamp.now())), ("Content-Type", behaviour.content_type or content_type)]
        head += extra
        if isinstance(data, bytes):
            answer = Answer(status, head, [Event("body", data, 0)], "length", len(data))
        else:
            answer = Answer(status, head, data, "chunked")
        player = Player(connection, behaviour, progress or Progress(), on_complete)
        try:
            await player.play(answer)
        except Stopped:
            return


def _key(profile: Profile, request: Request) -> str:
    own = request.headers.get(profile.key_header, "") if profile.key_header is not None else ""
    return own or request.headers.get("authorization", "").removeprefix("Bearer ")


def _object(data: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _whole(failure: Failure) -> bytes:
    return failure.body.encode() if isinstance(failure.body, str) else orjson.dumps(failure.body)


def _type(failure: Failure) -> str:
    return {"html": "text/html", "text": "text/plain; charset=utf-8"}.get(failure.shape, headers.JSON)
