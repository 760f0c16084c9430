"""A chat request that a page makes: under a user's own limits, by the same journey as any other request."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import orjson
from msgspec import Struct
from multidict import CIMultiDict

from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import BodyTooLargeError, Downstream, Reply
from proxy.pipeline.run import run
from proxy.pipeline.values.request_headers import RequestHeaders
from proxy.web.dashboard.view import DashboardRequest
from proxy.web.server.collecting_downstream import CollectingDownstream
from proxy.web.server.serve_one import reply_to_error
from proxy.wire.endpoint import CHAT

USE_CASE: Final = "playground"
_PATH: Final = "/v1/chat/completions"
_LOOK_S: Final = 0.1


class Trial(Struct, frozen=True):
    """What is asked, and whose token it counts for. token_hash: SHA-256 of the token; tags: as in the header."""

    model: str
    prompt: str
    system: str
    max_tokens: int | None
    token_hash: str
    tags: str | None = None

    def body(self, *, stream: bool) -> bytes:
        """Return the body of the request."""
        messages = [{"role": "system", "content": self.system}] if self.system else []
        body: dict[str, Any] = {"model": self.model, "messages": [*messages, {"role": "user", "content": self.prompt}]}
        if self.max_tokens is not None:
            body["max_tokens"] = self.max_tokens
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return orjson.dumps(body)

    def headers(self) -> Mapping[str, str]:
        """Return the headers of the request; its token is known by its hash alone."""
        tags = {} if self.tags is None else {"X-Tollkeeper-Tags": self.tags}
        return {"Content-Type": "application/json", "X-Tollkeeper-Use-Case": USE_CASE, **tags}


class TrialAnswer(Struct, frozen=True):
    """What came of it. text: the answer, or what went wrong, where is_ok is false."""

    model: str
    request_id: str
    is_ok: bool
    text: str
    input_tokens: int | None
    output_tokens: int | None
    duration_ms: int


class TrialDownstream:
    """The way back to the browser of a page for the answer to a request that the browser did not write itself."""

    def __init__(self, outer: Downstream, headers: Mapping[str, str], body: bytes) -> None:
        self.path = _PATH
        self.address = outer.address
        self.request_headers = RequestHeaders(CIMultiDict(headers))
        self.body: bytes | None = body
        self.whole = outer.whole
        self.whole_of_lines = outer.whole_of_lines
        self.send_ahead = outer.send_ahead
        self.begin = outer.begin
        self.write = outer.write
        self.chunks_writer = outer.chunks_writer
        self.drained = outer.drained
        self.cut = outer.cut
        self.interrupt = outer.interrupt

    async def read_body(self, max_bytes: int, timeout_s: float) -> bytes:
        del timeout_s  # all of it is here
        body = self.body or b""
        if len(body) > max_bytes:
            raise BodyTooLargeError
        return body


class TrialCollector(CollectingDownstream):
    """A whole answer in memory for a page. It goes to a provider, so the operator's stop must reach it where it waits.

    Made by the task that asks.
    """

    def __init__(self, trial: Trial) -> None:
        super().__init__(_PATH, trial.headers(), trial.body(stream=False))
        self._task = asyncio.current_task()

    def interrupt(self) -> None:
        if self._task is not None:
            self._task.cancel()


async def stream_trial(request: DashboardRequest, trial: Trial) -> Reply:
    """Return the answer as a stream to the browser that waits for it, errors included."""
    downstream = TrialDownstream(request.context.downstream, trial.headers(), trial.body(stream=True))
    return await _run(request, downstream, trial)


async def ask_all(request: DashboardRequest, trials: list[Trial]) -> list[TrialAnswer]:
    """Return the whole answers, in the order of trials; all are asked at once."""
    return list(await asyncio.gather(*(_ask(request, trial) for trial in trials)))


async def _ask(request: DashboardRequest, trial: Trial) -> TrialAnswer:
    clock = request.deps.services.clock
    downstream = TrialCollector(trial)
    began_s = clock.monotonic_s()
    await _run(request, downstream, trial)
    duration_ms = round((clock.monotonic_s() - began_s) * 1000)
    try:
        found = orjson.loads(downstream.collected)
    except orjson.JSONDecodeError:  # a provider may answer with anything
        found = {}
    request_id = downstream.headers.get("x-request-id", "")
    if downstream.status != 200:
        problem = _at(found, "error", "message") or f"The provider answered with status {downstream.status}."
        return TrialAnswer(trial.model, request_id, False, str(problem), None, None, duration_ms)
    text = _at(found, "choices", 0, "message", "content")
    words = text if isinstance(text, str) else orjson.dumps(_at(found, "choices", 0, "message")).decode()
    tokens = [_at(found, "usage", name) for name in ("prompt_tokens", "completion_tokens")]
    counts = [value if isinstance(value, int) else None for value in tokens]
    return TrialAnswer(trial.model, request_id, True, words, counts[0], counts[1], duration_ms)


async def _run(request: DashboardRequest, downstream: CollectingDownstream | TrialDownstream, trial: Trial) -> Reply:
    """Run the journey; a browser that goes ends it, as a client that hangs up."""
    services = request.deps.services
    downstream.request_headers.token_hash = trial.token_hash
    now_ms = services.clock.now_ms()
    context = RequestContext(downstream, services.ledger.ids.next(now_ms), services.clock, now_ms)
    context.endpoint = CHAT
    gone = asyncio.create_task(_follow(request.context, context))
    try:
        return await run(context, services)
    except Exception as error:  # noqa: BLE001 - the answer says what it was
        return reply_to_error(context, request.deps, error)
    finally:
        gone.cancel()


async def _follow(outer: RequestContext, inner: RequestContext) -> None:
    """Mark the inner request as gone once its browser is; several of them may wait for the same browser."""
    while not outer.gone:  # noqa: ASYNC110 - a context has room for one listener, and these are several
        await asyncio.sleep(_LOOK_S)
    inner.set_gone()


def _at(value: Any, *path: str | int) -> Any:
    """Return what stands at a path within JSON values; None where there is nothing."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value
