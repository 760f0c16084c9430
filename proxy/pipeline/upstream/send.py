"""Send an attempt to one target with one key, and hear the head of the answer."""

from collections.abc import Coroutine
from typing import Any, Protocol

from proxy.core.errors import ProviderError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.services import Services
from proxy.pipeline.upstream.target_body import in_form
from proxy.pipeline.upstream.translation import translate_request
from proxy.pipeline.upstream.upstream_errors import transport_error, upstream_status_error
from proxy.pipeline.values.attempt import NOT_OFFERED, Attempt
from proxy.pipeline.values.body_shape import BodyShape, Frame, frame_of
from proxy.pipeline.values.request_headers import RequestHeaders, UpstreamHead
from proxy.pipeline.values.reservation import Reservation
from proxy.pipeline.values.route import Route
from proxy.policy.failure import Failure, Where
from proxy.providers.generation import is_generation_id
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow
from proxy.providers.translated import TranslatedResponse
from proxy.providers.transport.base import SentHeaders, TransportError, UpstreamResponse
from proxy.wire.body import dump_body
from proxy.wire.endpoint import Endpoint
from proxy.wire.parsed_answer import read_message, text_of
from proxy.wire.redact import redacted

_Sent = tuple[UpstreamHead, Frame | None, bool]
"""Where the last body of a shape went; what was written around its text, once that is known; PreparedBody's flag."""

_REFUSAL_BYTES = 1 << 14  # what a refusal objects to stands at its beginning
_ERROR_BODY_MAX_BYTES = 1 << 20  # an error's body is read whole before it is passed on


class RequestRow(Protocol):
    """The row of a request, as far as sending depends on it. is_open: it is on disk, and the request may be sent."""

    reservation: Reservation
    is_open: bool

    async def opened(self) -> None:
        """Return once it is so; raises ApiError where it will not be, StopMadeError where that has to be looked at."""
        ...


def begin_sending(
    context: RequestContext, attempt: Attempt, row: RequestRow, services: Services
) -> Coroutine[Any, Any, UpstreamResponse] | None:
    """Return what sends the request, to be awaited at once; None: it cannot be sent, and attempt knows why.

    It ends with the head of the answer (hear_head()), or raises TransportError (note_unanswered()). The row may still
    be on its way to the disk: until it is there, the end of the request is held back.
    """
    provider, target, route = attempt.provider, attempt.target, row.reservation.route
    endpoint, dialect, streamed = route.endpoint, provider.dialect, attempt.streamed
    sent = context.downstream.request_headers.upstream
    if (
        sent is None
        or sent.provider is not provider
        or sent.target is not target
        or sent.key is not attempt.key
        or sent.streamed is not streamed
        or sent.endpoint is not endpoint
    ):
        sent = _upstream_head(context.downstream.request_headers, attempt, endpoint)
    has_form = attempt.form is not None or provider.has_forms or services.forms.learnt
    written = None
    if context.text is not None:
        text, context.text = context.text, None  # an answer may be long, and it is awaited
        if route.body is context.body and not has_form and target.is_plain and route.maxima is None:
            written = _spliced(context.shape, text, attempt, sent, route)
    if written is None:
        body = route.body if target.is_plain and route.maxima is None else route.body_for(target)
        body, hides_usage = dialect.prepare(body, target.model, endpoint)
        if hides_usage:
            attempt.hide_usage = True
        if has_form:
            body = _suited(body, attempt, route, services)
        attempt.body = body
        if dialect.translator is not None:
            try:
                attempt.translator, body = translate_request(provider, endpoint, body)
            except ProviderError as error:  # nothing is sent
                attempt.fail(Failure("connect", kind=NOT_OFFERED), error)
                return None
        written = dump_body(body)
    may_end = None if row.is_open else row.opened
    sending = provider.transport.send("POST", sent.url, sent.headers, written, attempt.deadlines, may_end)
    attempt.result.dispatched = True  # from here on nobody knows, unless the transport does
    return sending


def note_unanswered(attempt: Attempt, error: TransportError) -> None:
    """Record that an exchange broke before the head of the answer."""
    attempt.result.dispatched = error.dispatched
    where: Where = "sent" if error.dispatched else "connect"
    attempt.fail(Failure(where, kind=error.kind), transport_error(error, attempt.provider))


def hear_head(attempt: Attempt, answer: UpstreamResponse, row: RequestRow, services: Services) -> bool:
    """Record the head of an answer; False: it is a refusal, to be read by hear_refusal()."""
    attempt_result, status = attempt.result, answer.status
    if attempt.translator is not None:
        answer = TranslatedResponse(answer, attempt.translator)
    attempt_result.status = status
    if attempt.target.static is not None:
        attempt_result.canned = True
    generation_id, served_by = answer.header("x-generation-id"), answer.header("x-provider-name")
    if served_by is not None:
        attempt_result.served_by = served_by
    attempt.answer = answer
    if generation_id is not None and is_generation_id(generation_id):
        attempt_result.generation_id = generation_id
        # a crash while it is waited for leaves something to look up; most short answers come with their head
        if (attempt.streamed or not answer.is_at_hand) and 200 <= status < 300:
            services.ledger.note_generation(row.reservation.id, attempt.n, generation_id)
    return 200 <= status < 300


def _spliced(shape: BodyShape | None, text: bytes, attempt: Attempt, head: UpstreamHead, route: Route) -> bytes | None:
    """Return what dump_body() writes of the prepared body of a route, which has that shape; None: it has to write it.

    What stands around the text is written once, when a second request in a row of the shape goes to the same place.
    """
    if shape is None:
        return None
    last: _Sent | None = shape.sent
    if last is None or last[0] is not head:
        shape.sent = head, None, False
        return None
    _, frame, hides_usage = last
    if frame is None:
        dialect = head.provider.dialect
        if dialect.translator is not None:
            return None
        body, probe = shape.probe()
        body, hides_usage = dialect.prepare(body, head.target.model, head.endpoint)
        frame = frame_of(dump_body(body), probe)
        if frame is None:
            return None
        shape.sent = head, frame, hides_usage
    if hides_usage:
        attempt.hide_usage = True
    attempt.unprepared = route.body, head.endpoint
    before, behind = frame
    return b"".join((before, text, behind))


def _suited(body: dict[str, Any], attempt: Attempt, route: Route, services: Services) -> dict[str, Any]:
    """Return the body in the form that the target takes."""
    target = attempt.target
    if target.static is not None:
        return body
    if attempt.form is None:
        attempt.form = services.forms.of(attempt.provider, target.model, route.endpoint.kind, attempt.started_s)
    if attempt.form is None:
        return body
    if "stream_options" in attempt.form.without:
        attempt.hide_usage = False  # nobody asked for it: what comes all the same is the provider's own way
    return in_form(body, route, attempt.form)


async def hear_refusal(attempt: Attempt, services: Services) -> None:
    """Record a status other than 2xx, with the provider's own words."""
    answer = attempt.answer
    assert answer is not None
    raw = await read_error(answer)
    attempt.refusal = raw[:_REFUSAL_BYTES]  # read, and told to nobody
    body = redacted(raw, attempt.key.quoted_bytes)
    found = upstream_status_error(answer, body, attempt.provider, attempt.key.name, services.clock.now_ms())
    attempt.fail(found.failure, found.error)
    if found.is_passed_on:
        attempt.error_body = body
    if attempt.result.generation_id is None:
        attempt.result.generation_id = generation_id_of(body)
    attempt.result.complete = True


def generation_id_of(body: bytes) -> str | None:
    """Return the id of the generation that an error's body names; None where it names none."""
    message = read_message(body)
    found = None if message is None else text_of(message, "id") or text_of(message, "generation_id")
    return found if found is not None and is_generation_id(found) else None


def _upstream_head(request_headers: RequestHeaders, attempt: Attempt, endpoint: Endpoint) -> UpstreamHead:
    """Return what a request goes out with beside its body, and keep it for the next one with the same headers."""
    provider, target, key, streamed = attempt.provider, attempt.target, attempt.key, attempt.streamed
    url = provider.base_url + provider.dialect.path(endpoint, target.model, streamed=streamed)
    headers = upstream_headers(request_headers, provider, key, streamed)
    head = request_headers.upstream = UpstreamHead(provider, target, key, streamed, endpoint, url, headers)
    return head


def upstream_headers(request_headers: RequestHeaders, provider: ProviderRow, key: Key, streamed: bool) -> SentHeaders:
    """Return the headers for a provider."""
    headers = SentHeaders(provider.dialect.default_headers)
    headers.update(request_headers.sent or ())
    headers.update(provider.dialect.headers(headers))
    headers["Content-Type"] = "application/json"
    headers["Accept"] = "text/event-stream" if streamed else "application/json"
    headers["Accept-Encoding"] = "identity"  # the meter reads what passes, and the client gets what came
    headers["User-Agent"] = "tollkeeper"
    headers.update(provider.extra_headers)
    headers.update(provider.dialect.auth_headers(key))
    return headers


async def read_error(answer: UpstreamResponse) -> bytes:
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
