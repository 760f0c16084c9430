"""dispatch: try the targets in order until one begins to answer; each try is an attempt with a row of its own."""

from dataclasses import dataclass
from typing import Protocol

from proxy.core.errors import ApiError, CallerError, ProviderError
from proxy.pipeline.call import Call
from proxy.pipeline.parts import Parts, Snapshot
from proxy.pipeline.reserve import Reservation
from proxy.pipeline.route import Target
from proxy.pipeline.said import Said
from proxy.pipeline.settle import Heard
from proxy.policy.fallback import after_break, after_status
from proxy.providers.generation import is_generation_id
from proxy.providers.rows import Prepared, ProviderRow
from proxy.providers.transport import Answer, SentHeaders, TransportError
from proxy.wire.body import dump_body
from proxy.wire.headers import HeaderError, pick_request_headers

_ERROR_BODY_MAX_BYTES = 1 << 20  # an error's body is read whole before it is passed on


@dataclass(slots=True)
class Attempt:
    """One upstream call. failure None: the answer is one to relay. error_body: the provider's own, to be passed on."""

    n: int
    target: Target
    provider: ProviderRow
    started_s: float
    heard: Heard
    answer: Answer | None = None
    hide_usage: bool = False
    streamed: bool = False  # asked for as a stream
    error_body: bytes = b""
    failure: ApiError | None = None
    told_max_tokens: int | None = None


def request_headers(said: Said) -> Said:
    """Pick the client's headers that travel; raises CallerError for one that must not."""
    if said.sent is None:
        try:
            said.sent = pick_request_headers(said.headers.items())
        except HeaderError as error:
            raise CallerError(400, "invalid_header", str(error), param=error.name) from None
    return said


class Sink(Protocol):
    """Where the attempt under way is noted before its first byte, for an end that comes in the middle of it."""

    attempt: Attempt | None

    async def further(
        self, failed: Attempt, target: Target, provider: ProviderRow, key_label: str, *, maybe_billed: bool
    ) -> ApiError | None:
        """Make the next attempt durable, with the end of the one before it, or refuse it; raises OwnError 503."""
        ...


async def dispatch(
    call: Call,
    reservation: Reservation,
    sent: Said,
    sink: Sink,
    parts: Parts,
    snapshot: Snapshot,
) -> Attempt:
    """Give the attempt that answers, or the last one that did not, with its failure."""
    targets = reservation.route.targets
    for n, target in enumerate(targets, 1):
        provider, failed = snapshot.providers[target.provider], sink.attempt
        if failed is not None and await sink.further(
            failed, target, provider, provider.key_label, maybe_billed=failed.heard.status is None
        ):
            return failed
        attempt = sink.attempt = Attempt(n, target, provider, parts.clock.monotonic_s(), Heard(dispatched=True))
        attempt.told_max_tokens = reservation.told_max_tokens
        await _try(attempt, reservation, sent, parts)
        if attempt.failure is None or n == len(targets) or call.gone or _stop_after(attempt):
            return attempt
    raise AssertionError("a route has at least one target")


async def _try(attempt: Attempt, reservation: Reservation, sent: Said, parts: Parts) -> None:
    """Send the request and hear the head of the answer; all that happened is noted in attempt."""
    provider, heard = attempt.provider, attempt.heard
    prepared = provider.dialect.prepare(reservation.route.body, attempt.target.model)
    attempt.hide_usage = prepared.hide_usage
    attempt.streamed = bool(reservation.row.streamed)
    headers = _headers(sent, provider, streamed=attempt.streamed)
    try:
        answer = await provider.transport.send(
            "POST", provider.url("/chat/completions"), headers, _encode(prepared), provider.deadlines
        )
    except TransportError as error:
        heard.dispatched = error.dispatched
        attempt.failure = broken(error, provider)
        heard.error = attempt.failure.code
        return
    heard.status = answer.status
    generation_id = answer.header("X-Generation-Id")
    if generation_id is not None and is_generation_id(generation_id):
        heard.generation_id = generation_id
    heard.served_by = answer.header("X-Provider-Name")
    attempt.answer = answer
    if 200 <= answer.status < 300:
        if reservation.row.streamed and heard.generation_id is not None:
            parts.ledger.note_generation(reservation.id, attempt.n, heard.generation_id)
        return
    body = await _read_error(answer)
    attempt.failure = refused(answer, body, provider)
    if attempt.failure.code == "upstream_error" and is_json_object(body):
        attempt.error_body = body
    heard.complete = True
    heard.error = attempt.failure.code


def _encode(prepared: Prepared) -> bytes:
    return dump_body(prepared.body)


def _headers(said: Said, provider: ProviderRow, *, streamed: bool) -> SentHeaders:
    """Give the headers for a provider; those of the last request again where they are the same."""
    last = said.upstream
    if last is not None and last[0] is provider and last[1] is streamed:
        return last[2]
    headers = SentHeaders(said.sent or ())
    headers.update(provider.dialect.headers(headers))
    headers["Content-Type"] = "application/json"
    headers["Accept"] = "text/event-stream" if streamed else "application/json"
    headers["Accept-Encoding"] = "identity"  # the meter reads what passes, and the client gets what came
    headers["User-Agent"] = "tollkeeper"
    headers.update(provider.extra_headers)
    headers.update(provider.auth_headers())
    said.upstream = (provider, streamed, headers)
    return headers


async def _read_error(answer: Answer) -> bytes:
    body = b""
    try:
        while piece := await answer.read():
            body += piece
            if len(body) > _ERROR_BODY_MAX_BYTES:
                answer.abort()
                return b""
    except TransportError:  # the status is the answer; a body that broke off is left out
        return b""
    return body


def _stop_after(attempt: Attempt) -> bool:
    if attempt.heard.status is None:
        return after_break(dispatched=attempt.heard.dispatched) == "stop"
    return after_status(attempt.heard.status) == "stop"


_TIMEOUTS = {"connect_timeout", "header_timeout", "idle_timeout", "total_timeout"}


def broken(error: TransportError, provider: ProviderRow) -> ProviderError:
    """Give the answer for an exchange that broke before or within the provider's answer."""
    if error.kind in _TIMEOUTS and error.kind != "connect_timeout":
        return ProviderError(
            504,
            "upstream_timeout",
            f'Provider "{provider.name}": {error}. What it may have cost is looked up. Try again, or ask for less.',
        )
    code = "upstream_broken" if error.dispatched else "upstream_unreachable"
    return ProviderError(
        502,
        code,
        f'Provider "{provider.name}": {error}. Your request is fine; try again. Operator: tollkeeper check',
    )


def refused(answer: Answer, body: bytes, provider: ProviderRow) -> ApiError:
    """Give our reading of a status that is not 2xx.

    Where the operator's account is at fault the text says so, because the provider's own would send the caller to
    look for a mistake in a token that is fine. All else is passed on as it came (relay does that).
    """
    if answer.status == 401:
        return ProviderError(
            502,
            "upstream_auth",
            f'Provider "{provider.name}" refused the operator\'s key "{provider.key_label}" (401). Your token is fine.'
            " Operator: tollkeeper check",
            should_retry=False,
        )
    if answer.status == 402:
        return ProviderError(
            402,
            "upstream_no_credits",
            f'The operator\'s account at provider "{provider.name}" is out of credits (402). Your own budget is not.'
            " Operator: https://openrouter.ai/credits",
            type_="insufficient_quota",
            headers={"Retry-After": value} if (value := _retry_after(answer)) else {},
            should_retry=None if _retry_after(answer) else False,
        )
    if 300 <= answer.status < 400:
        return ProviderError(
            502,
            "upstream_redirect",
            f'Provider "{provider.name}" answered with a redirect ({answer.status}), which is never followed.'
            " Operator: correct base_url.",
            should_retry=False,
        )
    if not is_json_object(body):
        return ProviderError(
            answer.status if 400 <= answer.status < 600 else 502,
            "upstream_error",
            f'Provider "{provider.name}" answered {answer.status} without a JSON body.',
        )
    return ProviderError(answer.status, "upstream_error", f'Provider "{provider.name}" answered {answer.status}.')


def _retry_after(answer: Answer) -> str | None:
    value = answer.header("Retry-After")
    return value if value is not None and value.isascii() and value.isdigit() and 0 < int(value) <= 60 else None


def is_json_object(body: bytes) -> bool:
    text = body.strip()
    return text.startswith(b"{") and text.endswith(b"}")
