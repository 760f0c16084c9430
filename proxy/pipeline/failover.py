"""dispatch: walk the route until one target answers; each try is an attempt with a row of its own.

After a failure the table of policy/failure_table.py names the steps in order of preference, and the first that is
possible is taken. An answer is looked at before it is passed on as long as another step could follow
(relay/buffered.py).
"""

from proxy.pipeline.context import RequestContext
from proxy.pipeline.relay.base import Relay
from proxy.pipeline.relay.final_error import FailedRoute
from proxy.pipeline.relay.open_answer import open_answer, relay_of
from proxy.pipeline.services import Services
from proxy.pipeline.settlement.recorder import Recorder
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.upstream.hops import Hops
from proxy.pipeline.upstream.send import send_attempt
from proxy.pipeline.values.request_headers import RequestHeaders
from proxy.pipeline.values.reservation import Reservation


async def find_answer(
    context: RequestContext,
    walk: Hops,
    reservation: Reservation,
    sent: RequestHeaders,
    booking: Recorder,
    services: Services,
    snapshot: Snapshot,
) -> Relay | FailedRoute:
    """Return the answer that is to be relayed, or what is left when no step is."""
    attempt = walk.begin(reservation)
    if reservation.streamed:
        context.waits_since_s = context.started_s  # from here on signs of life may go out
    while True:
        booking.attempt = attempt
        may_go = walk.enter(attempt)
        if may_go is None:
            may_go = await walk.stand_in_line(attempt)
        if may_go:
            await send_attempt(attempt, reservation, sent, services)
        looks, opened = True, None
        if attempt.failure is None and ((looks := walk.looks_at_answers) or walk.doubts(attempt)):
            opened = await open_answer(context, attempt, booking.end, snapshot)
            walk.note_opened()
        if attempt.failure is None or context.gone:
            if attempt.failure is not None:
                return FailedRoute(walk.attempts, opened)
            if opened is not None or attempt.change is not None:
                walk.learn(attempt)
            return opened or relay_of(context, attempt, booking.end, snapshot)
        following = await walk.amend(booking)
        if following is None and not looks:  # it was looked at for that alone
            attempt.failure = attempt.error = None
            return opened or relay_of(context, attempt, booking.end, snapshot)
        following = following or await walk.go_on(booking)
        if following is None:
            attempt.settle_for_it()
            if attempt.failure is not None:
                return FailedRoute(walk.attempts, opened)
            return opened or relay_of(context, attempt, booking.end, snapshot)
        attempt = following
        if reservation.streamed:
            context.waits_since_s = services.clock.monotonic_s()
