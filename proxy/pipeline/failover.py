"""Send attempt after attempt along the route until one target answers; each is an attempt with a row of its own.

After a failure the table of policy/failure_table.py names the steps in order of preference, and the first that is
possible is taken. An answer is read up to its first content (relay/buffered.py) before it is passed on, as long as
another step could follow.
"""

from proxy.pipeline.admission.unknown_model import refused_there
from proxy.pipeline.context import RequestContext
from proxy.pipeline.errors import client_gone
from proxy.pipeline.relay.base import Relay
from proxy.pipeline.relay.final_error import FinalError
from proxy.pipeline.relay.open_answer import open_answer, open_at_hand, relay_of
from proxy.pipeline.services import Services
from proxy.pipeline.settlement.recorder import Recorder
from proxy.pipeline.stops import StopMadeError, TargetLatch
from proxy.pipeline.upstream.amendment import amendment_after
from proxy.pipeline.upstream.attempt_log import log_fallback
from proxy.pipeline.upstream.failure_decision import AMENDED, decide_next
from proxy.pipeline.upstream.form_proof import learn_form, proof_of
from proxy.pipeline.upstream.hop import Hop
from proxy.pipeline.upstream.hops import Hops
from proxy.pipeline.upstream.send import begin_sending, hear_head, hear_refusal, note_unanswered
from proxy.pipeline.upstream.upstream_errors import bound_refused
from proxy.pipeline.values.amendment import Amendment
from proxy.pipeline.values.attempt import UNSUITED, Attempt
from proxy.policy.failure_table import Decision
from proxy.providers.transport.base import TransportError


async def find_answer(
    context: RequestContext, hops: Hops, recorder: Recorder, services: Services
) -> Relay | FinalError:
    """Return what passes the answer on, or the error that is left when no step is. Raises ApiError."""
    if context.gone:
        raise client_gone()
    reservation = hops.reservation = recorder.reservation
    attempt = hops.attempt_at(hops.place)
    while True:
        recorder.attempt = context.attempt = attempt
        may_go = hops.enter(attempt)
        if may_go is None:
            if not recorder.is_open:
                await recorder.opened(is_end=False)
            may_go = await hops.stand_in_line(attempt)
        sending = begin_sending(context, attempt, recorder, services) if may_go else None
        while sending is not None:
            has_stop = False
            try:
                answer = await sending
            except TransportError as error:
                sending = None
                note_unanswered(attempt, error)
            except StopMadeError:
                sending, attempt.result.dispatched, has_stop = None, False, True
            except BaseException:
                attempt.result.dispatched = recorder.is_open  # the last bytes are still here if it is not
                raise
            else:
                if not hear_head(attempt, answer, recorder, services):
                    await hear_refusal(attempt, services)
                break
            if has_stop:  # behind the block: a compiled coroutine must not wait within it
                await recorder.opened(is_end=False)
                if not hops.is_halted(attempt):
                    sending = begin_sending(context, attempt, recorder, services)
        if not recorder.is_open:  # nothing was sent: what follows is another row, or the end of this one
            await recorder.opened(is_end=False)
        looks, opened, is_proved = True, None, False
        if attempt.failure is None:
            place = hops.place
            health, proofs = place.health, place.stream_proofs if attempt.streamed else place.proofs
            is_proved = proofs is services.forms.proved and attempt.change is None
            if is_proved and not place.is_followed and health.breaker.is_closed and not health.models:  # nearly always
                return relay_of(context, attempt, recorder.end)
            looks = hops.looks_at_answers()
            if looks or hops.may_refuse(attempt, reservation.route):
                opened = open_at_hand(context, attempt, recorder.end)
                if opened is None:
                    opened = await open_answer(context, attempt, recorder.end)
                if context.stopped is not None:
                    raise context.stopped
                hops.note_opened()
        if attempt.failure is None or context.gone:
            if attempt.failure is None and not is_proved and (opened is not None or attempt.change is not None):
                learn_form(attempt, reservation.route, services)
                hops.note_proved(attempt)
            break
        following = await _amend(context, hops, recorder, services)
        if following is None and not looks:  # it was buffered for that alone
            attempt.failure = attempt.error = None
            break
        following = following or await _go_on(context, hops, recorder, services)
        if following is None:
            attempt.settle_for_it()
            break
        attempt = following
        if reservation.streamed:
            context.waits_since_s = services.clock.monotonic_s()
    if attempt.failure is None:
        return opened or relay_of(context, attempt, recorder.end)
    unknown = refused_there(context, hops.attempts, services)
    if unknown is not None:
        raise unknown
    return FinalError(context, hops.attempts, opened, recorder.end)


async def _amend(context: RequestContext, hops: Hops, recorder: Recorder, services: Services) -> Attempt | None:
    """Return the attempt that sends the same again without a field that only the proxy wrote, and that was refused.

    None: it is not that, or no limit has room for it.
    """
    failed, reservation = hops.attempts[-1], recorder.reservation
    sent = failed.refused_body()
    if sent is None or context.gone:
        return None
    if proof_of(failed, reservation.route) in services.forms.proved:
        sent = sent._replace(is_vague=True)  # it has answered such requests: what it does not name is not ours
    price = services.model_lists.price(failed.provider, failed.target.model)
    change = amendment_after(sent, reservation.route, reservation.identity.allowance, price)
    if change is None or not hops.may_amend:
        return None
    before = reservation.route
    if change.is_possible and change.sets_bound:
        reservation.route = before.with_bound(failed.target, change.bound)
    if not change.is_possible or not await _may_change(hops, recorder, change):
        reservation.route = before
        failed.fail(sent.failure._replace(kind=UNSUITED), bound_refused(failed.provider, change.field))
        failed.error_body = b""
        return None
    if change.sets_bound:
        reservation.tell_bound(failed.target, change.bound)
    attempt = hops.amended()
    attempt.form, attempt.change = change.form, change
    return attempt


async def _may_change(hops: Hops, recorder: Recorder, change: Amendment) -> bool:
    """Return whether the changed request is on disk, with more held for it where it may cost more."""
    hops.leave(AMENDED)
    failed, hop = hops.attempts[-1], hops.place
    refusal = await recorder.next_attempt(
        failed, hop.target, hop.provider, hop.key, maybe_billed=False, raises=change.sets_bound
    )
    return refusal is None


async def _go_on(context: RequestContext, hops: Hops, recorder: Recorder, services: Services) -> Attempt | None:
    """Return the attempt that follows the last one, which failed; None where no step is left, or the client went."""
    failed = hops.attempts[-1]
    assert failed.failure is not None
    decision = decide_next(failed.failure, context, recorder.reservation.route)
    hops.leave(decision)
    hops.set_failed(decision, failed.failure)
    if services.stops.active:
        services.stops.check(context)
    following = hops.next_hop(decision)
    if following is None:
        return None
    if following.wait_s > 0:
        # ended by time, by a client that goes, or by a stop of the target that it is for
        await context.wait_for(TargetLatch(following.place.target), following.wait_s)
    if context.gone:
        return None
    if services.stops.active:  # which may have ended the wait
        services.stops.check(context)
    if not await _is_booked(recorder, failed, following.place, decision):
        following = None if following.place.target.static is not None else hops.static_hop(decision)
        if following is None or not await _is_booked(recorder, failed, following.place, decision):
            return None
    attempt = hops.attempt_at(following.place)
    if attempt.target is not failed.target:
        _note_fallback(context, failed, attempt, decision, services)
    return attempt


def _note_fallback(
    context: RequestContext, failed: Attempt, following: Attempt, decision: Decision, services: Services
) -> None:
    log_fallback(context, failed, following)
    left, taken = ((one.provider.name, one.target.model) for one in (failed, following))
    services.counters.fell_back(left, taken, decision.case)


async def _is_booked(recorder: Recorder, failed: Attempt, hop: Hop, decision: Decision) -> bool:
    """Return whether the next attempt is on disk; False: a limit has no room for it."""
    refusal = await recorder.next_attempt(failed, hop.target, hop.provider, hop.key, maybe_billed=decision.maybe_billed)
    return refusal is None
