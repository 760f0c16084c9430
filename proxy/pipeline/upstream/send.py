"""attempt: send a request to one target with one key, and hear the head of the answer."""

from typing import Any, Protocol

from proxy.core.errors import ProviderError
from proxy.pipeline.context import RequestContext
from proxy.pipeline.services import Services
from proxy.pipeline.upstream.target_body import in_form
from proxy.pipeline.upstream.translation import translate_request
from proxy.pipeline.upstream.upstream_errors import transport_error, upstream_status_error
from proxy.pipeline.values.attempt import NOT_OFFERED, Attempt
from proxy.pipeline.values.request_headers import RequestHeaders
from proxy.pipeline.values.reservation import Reservation
from proxy.pipeline.values.route import Route
from proxy.policy.failure import Failure
from proxy.providers.generation import is_generation_id
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow
from proxy.providers.translated import TranslatedResponse
from proxy.providers.transport.base import SentHeaders, TransportError, UpstreamResponse
from proxy.wire.body import dump_body
from proxy.wire.parsed_answer import read_message, text_of
from proxy.wire.redact import redacted

_REFUSAL_BYTES = 1 << 14  # what a refusal objects to stands at its beginning
_ERROR_BODY_MAX_BYTES = 1 << 20  # an error's body is read whole before it is passed on


class RequestRow(Protocol):
    """The row of a request, as far as sending depends on it. is_open: it is on disk, and the request may be sent."""

    reservation: Reservation
    is_open: bool

    async def opened(self) -> None:
        """Return once it is so; raises ApiError where it will not be, StopMadeError where that has to be looked at."""
        ...


async def send_attempt(context: RequestContext, attempt: Attempt, row: RequestRow, services: Services) -> None:
    """Send the request and hear the head of the answer; all that happened is noted in attempt.

    The row may still be on its way to the disk: until it is there, the end of the request is held back.
    """
    provider, attempt_result, route = attempt.provider, attempt.result, row.reservation.route
    endpoint, target = route.endpoint, attempt.target
    dialect = provider.dialect
    headers = upstream_headers(context.downstream.request_headers, provider, attempt.key, attempt.streamed)
    body = route.body if target.is_plain and route.maxima is None else route.body_for(target)
    body, attempt.hide_usage = dialect.prepare(body, target.model, endpoint)
    if attempt.form is not None or provider.has_forms or services.forms.learnt:
        body = _suited(body, attempt, route, services)
    attempt.body = body
    if dialect.translator is not None:
        try:
            attempt.translator, body = translate_request(provider, endpoint, body)
        except ProviderError as error:  # nothing is sent
            attempt.fail(Failure("connect", kind=NOT_OFFERED), error)
            return
    url = provider.base_url + dialect.path(endpoint, target.model, streamed=attempt.streamed)
    attempt_result.dispatched = True  # from here on nobody knows, unless the transport does
    try:
        answer: UpstreamResponse = await provider.transport.send(
            "POST", url, headers, dump_body(body), attempt.deadlines, None if row.is_open else row.opened
        )
    except TransportError as error:
        attempt_result.dispatched = error.dispatched
        attempt.fail(
            Failure("sent" if error.dispatched else "connect", kind=error.kind), transport_error(error, provider)
        )
        return
    except BaseException:
        attempt_result.dispatched = row.is_open  # the last bytes are still here if it is not
        raise
    if attempt.translator is not None:
        answer = TranslatedResponse(answer, attempt.translator)
    attempt_result.status = answer.status
    if target.static is not None:
        attempt_result.canned = True
    generation_id, served_by = answer.header("x-generation-id"), answer.header("x-provider-name")
    if served_by is not None:
        attempt_result.served_by = served_by
    if generation_id is not None and is_generation_id(generation_id):
        attempt_result.generation_id = generation_id
    attempt.answer = answer
    if 200 <= answer.status < 300:
        # a crash while it is waited for leaves something to look up; most short answers come with their head
        if attempt_result.generation_id is not None and (attempt.streamed or not answer.is_at_hand):
            services.ledger.note_generation(row.reservation.id, attempt.n, attempt_result.generation_id)
        return
    await _hear_refusal(attempt, answer, services)


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


async def _hear_refusal(attempt: Attempt, answer: UpstreamResponse, services: Services) -> None:
    """Record a status other than 2xx, with the provider's own words."""
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


def upstream_headers(request_headers: RequestHeaders, provider: ProviderRow, key: Key, streamed: bool) -> SentHeaders:
    """Return the headers for a provider; those of the last request if they are the same."""
    last = request_headers.upstream
    if last is not None and last[0] is provider and last[1] is key and last[2] is streamed:
        return last[3]
    headers = SentHeaders(provider.dialect.default_headers)
    headers.update(request_headers.sent or ())
    headers.update(provider.dialect.headers(headers))
    headers["Content-Type"] = "application/json"
    headers["Accept"] = "text/event-stream" if streamed else "application/json"
    headers["Accept-Encoding"] = "identity"  # the meter reads what passes, and the client gets what came
    headers["User-Agent"] = "tollkeeper"
    headers.update(provider.extra_headers)
    headers.update(provider.dialect.auth_headers(key))
    request_headers.upstream = (provider, key, streamed, headers)
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
