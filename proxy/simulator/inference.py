"""Answers the paths that cost money: one request from its bytes to the entry in the books."""

import asyncio
import functools
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from proxy.simulator import embeddings, faults, headers, messages, sse
from proxy.simulator.account import SimulatedAccount
from proxy.simulator.api import APIS, Api
from proxy.simulator.behaviour import Behaviour, BehaviourError, Script
from proxy.simulator.bill import CANCELLING_PROVIDERS, Bill
from proxy.simulator.books import Books, Generation, RefusedRequest
from proxy.simulator.connection import Connection, Request
from proxy.simulator.faults import FAULTS, ProviderFault
from proxy.simulator.ids import Ids
from proxy.simulator.player import PlaybackProgress, PlaybackStopped, PlayedAnswer, Player
from proxy.simulator.prices import DemoModels, Model
from proxy.simulator.profiles.openrouter import FAULT_NAMES
from proxy.simulator.reply import Event, SimulatedReply, compose, count_prompt
from proxy.simulator.request_checks import RefusedError, SimulatedRequest, check_body, check_key

_OPENAI_ID_PREFIXES = {"completions": "cmpl", "responses": "resp", "embeddings": "embd"}


class Inference:
    """Serves chat completions and its sisters; the only writer of the books."""

    def __init__(
        self, catalogue: DemoModels, script: Script, books: Books, account: SimulatedAccount, stamp: Ids
    ) -> None:
        self._catalogue = catalogue
        self._script = script
        self._books = books
        self._account = account
        self._stamp = stamp

    async def serve(self, request: Request, connection: Connection, api: Api, *, openai: bool) -> None:
        asked = self._read(request, api, openai=openai)
        behaviour = self._script.base
        try:
            behaviour = self._behaviour(request, asked)
            if behaviour.raw_response is not None:
                await self._raw(connection, asked, behaviour.raw_response)
                return
            self._check_script(asked, behaviour)
            check_key(asked, self._account)
            check_body(asked)
            if behaviour.body is not None:
                await self._literal(connection, asked, behaviour)
                return
            reply, permaslug = self._reply(asked, behaviour)
        except RefusedError as refused:
            await self._refuse(connection, asked, behaviour, refused)
            return
        await self._generate(connection, asked, reply, permaslug)

    async def count_tokens(self, request: Request, connection: Connection) -> None:
        """Serve ``POST /messages/count_tokens``; costs nothing and is not in the books."""
        asked = self._read(request, APIS["messages"], openai=False)
        try:
            check_key(asked, self._account)
            check_body(asked)
        except RefusedError as refused:
            await self._refuse(connection, asked, self._script.base, refused)
            return
        data = orjson.dumps(messages.count_tokens_body(count_prompt(asked.body)))
        await self._play(connection, asked, self._script.base, sse.whole(data, self._script.base, 0), length=len(data))

    # --- reading and checking

    def _read(self, request: Request, api: Api, *, openai: bool) -> SimulatedRequest:
        """Read what can be read; whatever is wrong with it is refused afterwards."""
        try:
            parsed = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            parsed = None
        body: dict[str, Any] = parsed if isinstance(parsed, dict) else {}
        authorization = request.headers.get("authorization", "")
        key = authorization.removeprefix("Bearer ") if authorization.startswith("Bearer ") else ""
        key = key or request.headers.get("x-api-key", "")
        now = self._stamp.now()
        session = body.get("session_id") or request.headers.get("x-session-id") or body.get("prompt_cache_key")
        model, user = body.get("model"), body.get("user")
        return SimulatedRequest(
            api,
            openai,
            self._stamp.next(),
            now,
            authorization,
            key,
            self._account.key(key, now).hash,
            body,
            model if isinstance(model, str) else "",
            body.get("stream") is True and api.events is not None,
            session if isinstance(session, str) else None,
            user if isinstance(user, str) else None,
            request.headers.get("user-agent"),
        )

    def _behaviour(self, request: Request, asked: SimulatedRequest) -> Behaviour:
        try:
            return self._script.for_request(
                request.target.partition("?")[0], asked.model, request.headers.get("x-sim-behaviour")
            )
        except BehaviourError as error:
            raise RefusedError(ProviderFault(400, str(error))) from None

    @staticmethod
    def _check_script(asked: SimulatedRequest, behaviour: Behaviour) -> None:
        if behaviour.error is not None:
            raise RefusedError(FAULTS[behaviour.error], asked.model)
        if behaviour.failure in FAULT_NAMES:
            raise RefusedError(FAULTS[FAULT_NAMES[behaviour.failure]], asked.model)

    # --- who answers

    def _reply(self, asked: SimulatedRequest, behaviour: Behaviour) -> tuple[SimulatedReply, str]:
        requested, model = self._served(asked, behaviour)
        shown = requested if asked.openai or requested.startswith("sim/") else model.id
        if behaviour.served_model == "permaslug":
            shown = model.permaslug
        created = asked.now
        reply = compose(
            asked.body,
            behaviour,
            identity=(
                self._id(asked),
                asked.sequence,
                self._stamp.seed,
                created,
            ),
            served=(shown, behaviour.provider or model.provider, model.price),
            openai=asked.openai,
        )
        if asked.api.path == "embeddings":
            reply.pieces, reply.reasoning, reply.calls = [], [], []
        return reply, model.permaslug

    def _id(self, asked: SimulatedRequest) -> str:
        if asked.openai:
            return self._stamp.openai_id(_OPENAI_ID_PREFIXES.get(asked.api.path, "chatcmpl"), asked.sequence)
        return self._stamp.generation_id(asked.now, asked.sequence)

    def _served(self, asked: SimulatedRequest, behaviour: Behaviour) -> tuple[str, Model]:
        """Return the first model of the request's list that does not fail.

        As OpenRouter's own fallback does.
        """
        find = self._catalogue.find_openai if asked.openai else self._catalogue.find
        name = behaviour.served_model
        if name not in (None, "plain", "permaslug"):
            found = self._catalogue.find(name)
            if found is not None:
                return name, found
        more = asked.body.get("models")
        names = [asked.model] if asked.model else []
        if not asked.openai and isinstance(more, list):
            names += [m for m in more if isinstance(m, str)]
        names = names or ([] if asked.openai else ["openai/gpt-4o-mini"])  # OpenRouter: the account's default model
        last = RefusedError(ProviderFault(400, "you must provide a model parameter"), param="model")
        for name in names:
            model = find(name)
            if model is None:
                last = self._unknown_model(name, openai=asked.openai)
            elif name in behaviour.fail_models or model.id in behaviour.fail_models:
                last = RefusedError(FAULTS["provider-error"], name)
            else:
                return name, model
        raise last

    @staticmethod
    def _unknown_model(name: str, *, openai: bool) -> RefusedError:
        if openai:
            text = f"The model `{name}` does not exist or you do not have access to it."
            return RefusedError(ProviderFault(404, text), code="model_not_found")
        return RefusedError(FAULTS["invalid-model"], name)

    # --- answering

    async def _generate(
        self, connection: Connection, asked: SimulatedRequest, reply: SimulatedReply, permaslug: str
    ) -> None:
        behaviour = reply.behaviour
        generation = self._open(asked, reply)
        progress = PlaybackProgress()

        def close(bill: Bill, *, cancelled: bool) -> None:
            self._close(generation, bill, permaslug, cancelled=cancelled)

        def on_complete() -> None:
            close(_whole_bill(reply, progress), cancelled=False)

        extra: list[tuple[str, str]] = []
        if behaviour.generation_id_header and not asked.openai:
            extra.append(("X-Generation-Id", reply.id))
        if behaviour.cache_hit:
            extra += [
                ("X-OpenRouter-Cache-Status", "HIT"),
                ("X-OpenRouter-Cache-Age", "12"),
                ("X-OpenRouter-Cache-TTL", "300"),
                (
                    "X-OpenRouter-Cache-Source-Id",
                    f"gen-{asked.now}-{self._stamp.word('cache', asked.sequence, 20)}",
                ),
            ]
        length = None
        events: Iterable[Event]
        if asked.stream and asked.api.events is not None:
            comment = None if asked.openai or asked.api.anthropic else asked.api.comment
            events = sse.stream(asked.api.events(reply), behaviour, comment)
        else:
            write = asked.api.body
            if asked.api.path == "embeddings":
                write = functools.partial(embeddings.body, request=asked.body)
            data = write(reply)
            length = _length(data, behaviour)
            events = sse.whole(data, behaviour, reply.whole_tokens)
        try:
            await self._play(
                connection,
                asked,
                behaviour,
                events,
                length=length,
                extra=extra,
                progress=progress,
                on_complete=on_complete,
                stream=asked.stream,
            )
        except (asyncio.CancelledError, ConnectionResetError):
            if not generation.finished:
                close(_broken_bill(reply, progress, streamed=asked.stream), cancelled=asked.stream)
            raise
        if not generation.finished:
            close(_broken_bill(reply, progress, streamed=asked.stream), cancelled=asked.stream)

    def _open(self, asked: SimulatedRequest, reply: SimulatedReply) -> Generation:
        generation = Generation(
            reply.id,
            asked.sequence,
            asked.api.path,
            reply.model,
            reply.provider,
            asked.stream,
            reply.prompt_tokens,
            asked.session_id,
            asked.user,
            asked.key_sha256,
            asked.now,
            self._stamp.monotonic_s(),
            finish_reason=reply.finish,
            native_finish_reason=reply.native,
            is_byok=reply.behaviour.byok,
            lookup=reply.behaviour,
            user_agent=asked.user_agent,
        )
        self._books.open(generation)
        return generation

    def _close(self, generation: Generation, bill: Bill, permaslug: str, *, cancelled: bool) -> None:
        generation.prompt_tokens = bill.tokens.prompt
        generation.completion_tokens = bill.tokens.completion
        generation.cached_tokens = bill.tokens.cached
        generation.reasoning_tokens = bill.tokens.reasoning
        generation.upstream_pusd = bill.upstream_pusd
        generation.permaslug = permaslug
        generation.cost_literal = bill.cost_json
        generation.total_json = bill.total_json
        generation.cancelled = cancelled
        if cancelled:
            generation.finish_reason = generation.native_finish_reason = None
        generation.visible_at_s = self._stamp.monotonic_s() + generation.lookup.generation_delay_ms / 1000
        if generation.lookup.billed_at_end:
            generation.billed = self._stamp.now()
        self._books.close(generation, bill.charged_pusd)
        self._account.charge(generation, permaslug)

    async def _refuse(
        self, connection: Connection, asked: SimulatedRequest, behaviour: Behaviour, refused: RefusedError
    ) -> None:
        fault = refused.fault
        status = behaviour.error_status or fault.status if behaviour.error is not None else fault.status
        message = (behaviour.error_message or fault.message).replace("{model}", refused.model)
        extra = list(fault.headers.items())
        metadata = {
            k: v.replace("{model}", refused.model) if isinstance(v, str) else v for k, v in fault.metadata.items()
        }
        if fault.reset_after_ms is not None:
            extra.append(("X-RateLimit-Reset", str(asked.now * 1000 + fault.reset_after_ms)))
            metadata["headers"] = dict(extra)
        if behaviour.retry_after is not None:
            extra = [(name, value) for name, value in extra if name != "Retry-After"]
            extra += [("Retry-After", behaviour.retry_after)] if behaviour.retry_after else []
        if asked.openai:
            body = faults.openai_error(status, message, refused.param, refused.code)
        elif asked.api.anthropic:
            body = faults.anthropic_error(status, message)
        else:
            body = faults.openrouter_error(status, message, metadata, "user_simulator" if status != 401 else None)
        sent = 200 if behaviour.error_in_200 else status
        self._note(asked, sent)
        if fault.body == "html":
            data = faults.html_error(status, message)
            content_type = "text/html; charset=UTF-8"
        else:
            data, content_type = orjson.dumps(body), headers.JSON
        stream = behaviour.error_in_200 and asked.stream
        if stream:
            content_type = headers.STREAM
            done = [Event("done", b"[DONE]", 0)] if behaviour.stream_error_done else []
            comment = None if asked.openai or asked.api.anthropic else asked.api.comment
            name = "error" if asked.api.anthropic else None
            events: Iterable[Event] = sse.stream([Event("error", data, 0, name), *done], behaviour, comment)
        else:
            events = sse.whole(data, behaviour, 0)
        length = None if stream else _length(data, behaviour)
        await self._play(
            connection,
            asked,
            behaviour,
            events,
            length=length,
            status=sent,
            extra=extra,
            stream=stream,
            content_type=content_type,
        )

    async def _literal(self, connection: Connection, asked: SimulatedRequest, behaviour: Behaviour) -> None:
        """Answer with the text of the behaviour; nothing is charged."""
        data = (behaviour.body or "").encode("utf-8", "surrogatepass")
        self._note(asked, 200)
        events = sse.whole(data, behaviour, 0)
        await self._play(connection, asked, behaviour, events, length=_length(data, behaviour), stream=asked.stream)

    async def _raw(self, connection: Connection, asked: SimulatedRequest, characters: str) -> None:
        self._note(asked, 0)
        await connection.send(characters.encode("latin-1", "replace"))
        connection.cut(reset=False)

    def _note(self, asked: SimulatedRequest, status: int) -> None:
        self._books.errors.append(
            RefusedRequest(
                asked.sequence,
                asked.api.path,
                status,
                asked.model,
                asked.session_id,
                asked.user,
                asked.key_sha256,
            )
        )

    async def _play(
        self,
        connection: Connection,
        asked: SimulatedRequest,
        behaviour: Behaviour,
        events: Iterable[Event],
        *,
        length: int | None,
        status: int = 200,
        extra: list[tuple[str, str]] | None = None,
        progress: PlaybackProgress | None = None,
        on_complete: Callable[[], None] = lambda: None,
        stream: bool = False,
        content_type: str | None = None,
    ) -> None:
        kind = behaviour.content_type or content_type or (headers.STREAM if stream else headers.JSON)
        ray = self._stamp.word("ray", asked.sequence, 16)
        head = (headers.openai if asked.openai else headers.openrouter)(asked.now, ray, kind)
        framing: Any = "length" if asked.openai and not stream else "chunked"
        answer = PlayedAnswer(status, head + (extra or []), events, framing, length)
        player = Player(connection, behaviour, progress or PlaybackProgress(), on_complete)
        try:
            await player.play(answer)
        except PlaybackStopped:
            return


def _length(data: bytes, behaviour: Behaviour) -> int:
    """Return the Content-Length of a body with what the behaviour puts in front of it."""
    return len(data) + behaviour.padding_units * len(sse.PADDING) + (3 if behaviour.bom else 0)


def _whole_bill(reply: SimulatedReply, progress: PlaybackProgress) -> Bill:
    """Price an answer that reached its end, even if that is an error event."""
    if not progress.failed:
        return reply.bill()
    if reply.behaviour.stream_error_form in ("with_usage", "usage_after"):
        return reply.bill_so_far(progress.tokens)
    return reply.uncharged(progress.tokens)


def _broken_bill(reply: SimulatedReply, progress: PlaybackProgress, *, streamed: bool) -> Bill:
    """Price an abandoned answer: in full, unless closing the stream stops the bill."""
    charge = reply.behaviour.charge_on_stop
    if charge == "nothing":
        return reply.uncharged(progress.tokens)
    if not streamed or charge == "full" or reply.provider not in CANCELLING_PROVIDERS:
        return reply.bill()
    return reply.bill_so_far(progress.tokens)
