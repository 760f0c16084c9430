"""attempt: send a request to one target with one key, and hear the head of the answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from proxy.core.errors import ApiError, CallerError
from proxy.pipeline.admission.reserve import Reservation
from proxy.pipeline.request.headers import RequestHeaders
from proxy.pipeline.routing.route import Route, Target
from proxy.pipeline.services import Services
from proxy.pipeline.settlement.settle import AttemptResult
from proxy.pipeline.upstream.amendment import Amendment, SentBody
from proxy.pipeline.upstream.concurrency import ConcurrencyLimit
from proxy.pipeline.upstream.key_limits import KeyHold
from proxy.pipeline.upstream.provider_health import Pass
from proxy.pipeline.upstream.target_body import in_form
from proxy.pipeline.upstream.upstream_errors import transport_error, upstream_status_error
from proxy.policy.answer_check import CheckRules
from proxy.policy.failure import Failure
from proxy.policy.failure_table import may_be_billed
from proxy.policy.parameter_form import PLAIN, ParameterForm
from proxy.providers.deadlines import Deadlines
from proxy.providers.generation import is_generation_id
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow
from proxy.providers.transport.base import SentHeaders, TransportError, UpstreamResponse
from proxy.wire.body import dump_body
from proxy.wire.headers import HeaderError, pick_request_headers
from proxy.wire.parsed_answer import read_message, text_of
from proxy.wire.redact import redacted

if TYPE_CHECKING:
    from proxy.pipeline.relay.relay import Relay

_REFUSAL_BYTES = 1 << 14  # what a refusal objects to stands at its beginning
CHECK = "check"  # the kind of such a failure
UNSUITED = "unsuited"  # that of one whose target refused what has to be written
_ERROR_BODY_MAX_BYTES = 1 << 20  # an error's body is read whole before it is passed on


@dataclass(slots=True, eq=False)
class Attempt:
    """One upstream call.

    failure is what the table decides by, and error what the client would be told of it; both None: the answer is one
    to relay. error_body: the provider's own error, to be passed on. opened: the answer that was read up to its first
    content.
    """

    n: int
    target: Target
    provider: ProviderRow
    key: Key
    started_s: float
    deadlines: Deadlines
    heard: AttemptResult
    streamed: bool = False  # asked for as a stream
    may_stream: bool = True  # the endpoint knows streams
    told_max_tokens: int | None = None
    checks: CheckRules | None = None
    check_fails: bool = False  # one that the answer does not pass counts as a failure
    answer: UpstreamResponse | None = None
    hide_usage: bool = False
    error_body: bytes = b""
    failure: Failure | None = None
    error: ApiError | None = None
    opened: "Relay | None" = None
    inner_error: Mapping[str, Any] | None = None  # the error object within a 200
    passes: Pass | None = None  # of the breakers
    line: ConcurrencyLimit | None = None  # where it has a place
    is_noted: bool = False  # the breakers know that it answered
    key_held: KeyHold | None = None  # of the limits of its key
    form: ParameterForm | None = None  # how its target takes what the proxy writes; None: nothing is different there
    change: Amendment | None = None  # what was changed after the attempt before
    body: dict[str, Any] | None = None  # as it was sent
    is_amended: bool = False  # the next one sent the same again without a field of ours: nobody else hears of it
    refusal: bytes = b""  # the beginning of the provider's words

    def settle_for_it(self) -> None:
        """Take an answer that only failed a check after all: it is paid for, and nothing better is to be had."""
        if self.failure is not None and self.failure.kind == CHECK:
            self.failure = self.error = self.heard.error = None

    def refused_body(self) -> SentBody | None:
        """Return what was sent and refused before anything was done; None: it may be billed, or was no refusal.

        A generation's id proves that something was begun, but beside a status of 4xx: some name one with each refusal.
        """
        failure, heard, change = self.failure, self.heard, self.change
        if self.body is None or failure is None or failure.where not in ("status", "answer"):
            return None
        if failure.kind in (CHECK, UNSUITED) or heard.usage is not None:
            return None
        is_refusal = failure.where == "status" and 400 <= (failure.status or 0) < 500 and not heard.unproven
        if heard.generation_id is not None and not is_refusal:
            return None
        if heard.content_seen or (failure.where == "answer" and failure.error is None):
            return None
        refusal = self.refusal or orjson.dumps(failure.error)
        sent = SentBody(self.body, self.form or PLAIN, failure, refusal)
        return (
            sent
            if change is None
            else sent._replace(lesson=change.lesson, tried=change.tried, is_vague=change.is_vague)
        )

    def fail(self, failure: Failure, error: ApiError) -> None:
        self.failure = failure
        self.error = error
        self.heard.error = error.code
        self.heard.unproven = may_be_billed(failure)

    def note_inner_error(self, error: Mapping[str, Any]) -> None:
        """Note that a 200 holds an error object, whoever is told of it."""
        self.inner_error = error
        self.heard.unproven = may_be_billed(Failure("answer", self.heard.status, error=error))


def request_headers(said: RequestHeaders) -> RequestHeaders:
    """Pick the client's headers that travel; raises CallerError for one that must not."""
    if said.sent is None:
        try:
            said.sent = pick_request_headers(said.headers.items())
        except HeaderError as error:
            raise CallerError(400, "invalid_header", str(error), param=error.name) from None
    return said


async def send_attempt(attempt: Attempt, reservation: Reservation, sent: RequestHeaders, services: Services) -> None:
    """Send the request and hear the head of the answer; all that happened is noted in attempt."""
    provider, heard, route = attempt.provider, attempt.heard, reservation.route
    endpoint, target = route.endpoint, attempt.target
    body, attempt.hide_usage = provider.dialect.prepare(
        route.body_for(target), target.model, asks_usage=endpoint.asks_usage
    )
    if attempt.form is not None or provider.has_forms or services.forms.learnt:
        body = _suited(body, attempt, route, services)
    attempt.body = body
    headers = upstream_headers(sent, provider, attempt.key, streamed=attempt.streamed)
    heard.dispatched = True  # from here on nobody knows, unless the transport does
    try:
        answer = await provider.transport.send(
            "POST", provider.url(endpoint.path), headers, dump_body(body), attempt.deadlines
        )
    except TransportError as error:
        heard.dispatched = error.dispatched
        attempt.fail(
            Failure("sent" if error.dispatched else "connect", kind=error.kind), transport_error(error, provider)
        )
        return
    heard.status = answer.status
    heard.canned = target.static is not None
    generation_id = answer.header("x-generation-id")
    if generation_id is not None and is_generation_id(generation_id):
        heard.generation_id = generation_id
    heard.served_by = answer.header("x-provider-name")
    attempt.answer = answer
    if 200 <= answer.status < 300:
        # a crash while it is waited for leaves something to look up; most short answers come with their head
        if heard.generation_id is not None and (attempt.streamed or not answer.is_at_hand()):
            services.ledger.note_generation(reservation.id, attempt.n, heard.generation_id)
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
    """Note a status that is not 2xx, with what the provider said beside it."""
    raw = await read_error(answer)
    attempt.refusal = raw[:_REFUSAL_BYTES]  # read, and told to nobody
    body = redacted(raw, attempt.key.quoted_bytes)
    found = upstream_status_error(answer, body, attempt.provider, attempt.key.name, services.clock.now_ms())
    attempt.fail(found.failure, found.error)
    if found.is_passed_on:
        attempt.error_body = body
    if attempt.heard.generation_id is None:
        attempt.heard.generation_id = generation_id_of(body)
    attempt.heard.complete = True


def generation_id_of(body: bytes) -> str | None:
    """Return the id of the generation that an error's body names; None where it names none."""
    message = read_message(body)
    found = None if message is None else text_of(message, "id") or text_of(message, "generation_id")
    return found if found is not None and is_generation_id(found) else None


def upstream_headers(said: RequestHeaders, provider: ProviderRow, key: Key, *, streamed: bool) -> SentHeaders:
    """Give the headers for a provider; those of the last request again where they are the same."""
    last = said.upstream
    if last is not None and last[0] is provider and last[1] is key and last[2] is streamed:
        return last[3]
    headers = SentHeaders(provider.default_headers)
    headers.update(said.sent or ())
    headers.update(provider.dialect.headers(headers))
    headers["Content-Type"] = "application/json"
    headers["Accept"] = "text/event-stream" if streamed else "application/json"
    headers["Accept-Encoding"] = "identity"  # the meter reads what passes, and the client gets what came
    headers["User-Agent"] = "tollkeeper"
    headers.update(provider.extra_headers)
    headers.update(key.headers(provider.auth))
    said.upstream = (provider, key, streamed, headers)
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
