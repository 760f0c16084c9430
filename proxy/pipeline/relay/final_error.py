"""What the client gets when no target of the route answered.

It is the last failure as its provider reported it, so that every SDK raises the class that it would raise there. After
more than one attempt the text lists them all, and SDKs are told not to go through the whole route again.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from proxy.core.errors import ApiError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.relay.base import Finish, Relay
from proxy.pipeline.relay.response_headers import response_headers
from proxy.pipeline.upstream.upstream_errors import whole_seconds
from proxy.pipeline.values.attempt import Attempt

# Some SDKs sleep for as long as asked, even hours: never ask for more than a minute.
_RETRY_MOST = {"retry-after": 60, "retry-after-ms": 60_000}
_DEPTH_MAX = 8  # of an error within errors


class FinalError:
    """What the client gets where no attempt answered. opened: the last one's answer, where it was read."""

    def __init__(
        self, context: RequestContext, attempts: Sequence[Attempt], opened: Relay | None, finish: Finish
    ) -> None:
        self._context = context
        self._attempts = [attempt for attempt in attempts if not attempt.is_amended]
        self._opened = opened
        self._finish = finish

    async def run(self) -> Reply:
        """Settle and tell it; raises ApiError where the answer is one of our own."""
        context, attempts, last = self._context, self._attempts, self._attempts[-1]
        assert last.error is not None
        context.waits_since_s = 0.0  # the client's error is decided here
        if len(attempts) == 1 and self._opened is not None and self._opened.holds_error:
            return await self._opened.run()  # the provider's own words, inside a 200
        if context.reply is not None:
            error = _listed(last.error, attempts)
            await self._finish(error.status)
            return answer_inside(context, error)
        if last.error_body:
            await self._finish(last.error.status)
            return _pass_on(context, last, attempts)
        raise _listed(last.error, attempts)


def answer_inside(context: RequestContext, error: ApiError) -> Reply:
    """Write an error into an answer whose head has gone out: a second head would be taken for a part of it."""
    assert context.reply is not None
    context.end_with_error(error)
    return context.reply


def _pass_on(context: RequestContext, last: Attempt, attempts: Sequence[Attempt]) -> Reply:
    """Return the provider's own error with its own status: byte for byte if it was the only attempt."""
    assert last.answer is not None
    headers = response_headers(context, last)
    for name, most in _RETRY_MOST.items():
        if (value := headers.get(name)) is not None and value.isascii() and value.isdigit() and int(value) > most:
            headers[name] = str(most)
    wait_s = told_wait_s(attempts)
    is_told = "retry-after" in headers or "retry-after-ms" in headers
    if wait_s is not None and (len(attempts) > 1 or not is_told):
        headers.pop("retry-after-ms", None)  # of one of several
        headers["retry-after"] = str(whole_seconds(wait_s))
    body = last.error_body
    if len(attempts) > 1:
        headers["x-should-retry"] = "false"
        body = _with_list(body, attempts)
    return context.whole(last.answer.status, headers, body)


def told_wait_s(attempts: Sequence[Attempt]) -> float | None:
    """Return the shortest wait that a provider asked for by a refusal; None where none did."""
    failures = [attempt.failure for attempt in attempts if attempt.failure is not None]
    return min((wait for failure in failures if (wait := failure.retry_after_s) is not None), default=None)


def _with_list(body: bytes, attempts: Sequence[Attempt]) -> bytes:
    """Return a provider's error with the list of attempts after its text, and the rest as it is."""
    try:
        message = orjson.loads(body)
        listed = _listed_within(message, f" ({list_of(attempts)})")
        return body if listed is None else orjson.dumps(listed)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # of the latter: nested deeper than it writes
        return body


def _listed_within(message: Any, more: str, depth: int = 0) -> Any:
    """Return an error's JSON with more behind its text; None where no place for it is found."""
    if depth > _DEPTH_MAX:
        return None
    if isinstance(message, str):
        return message + more
    if isinstance(message, list) and message:
        first = _listed_within(message[0], more, depth + 1)
        return None if first is None else [first, *message[1:]]
    if isinstance(message, dict):
        for name in ("error", "message", "detail", "msg"):
            inner = _listed_within(message.get(name), more, depth + 1) if message.get(name) else None
            if inner is not None:
                return {**message, name: inner}
    return None


def _listed(error: ApiError, attempts: Sequence[Attempt]) -> ApiError:
    wait_s = told_wait_s(attempts)
    if error.retry_after_s is None and wait_s is not None and error.status in (429, 503):
        error.retry_after_s = whole_seconds(wait_s)
    if len(attempts) > 1:
        error.message = f"{error.message} ({list_of(attempts)})"
        error.should_retry = False
    return error


def list_of(attempts: Sequence[Attempt]) -> str:
    """List attempts in short: 3 attempts failed: openai/gpt-5-mini at openrouter 503, ..."""
    each = ", ".join(f"{attempt.target.model} at {attempt.provider.name}: {_word(attempt)}" for attempt in attempts)
    return f"{len(attempts)} attempts failed: {each}"


def _word(attempt: Attempt) -> str:
    failure, error = attempt.failure, attempt.error
    if failure is not None and failure.where == "status":
        return str(failure.status)
    return "?" if error is None else error.code.removeprefix("upstream_")
