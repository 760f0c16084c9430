"""dispatch: walk the route until one target answers; each try is an attempt with a row of its own.

After a failure the table of policy/failure_table.py names the steps in order of preference, and the first that is
possible is taken. An answer is looked at before it is passed on as long as another step could follow
(relay/buffered.py).
"""

from proxy.pipeline.admission.reserve import Reservation
from proxy.pipeline.context import RequestContext
from proxy.pipeline.relay.buffered import open_answer
from proxy.pipeline.request.headers import RequestHeaders
from proxy.pipeline.services import Services, Snapshot
from proxy.pipeline.settlement.recorder import Recorder
from proxy.pipeline.upstream.attempt import Attempt, send_attempt
from proxy.pipeline.upstream.hops import Hops


async def find_answer(
    context: RequestContext,
    walk: Hops,
    reservation: Reservation,
    sent: RequestHeaders,
    booking: Recorder,
    services: Services,
    snapshot: Snapshot,
) -> Attempt:
    """Give the attempt that answers, or the last one when there is no step left."""
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
        looks = True
        if attempt.failure is None and ((looks := walk.looks_at_answers) or walk.doubts(attempt)):
            await open_answer(context, attempt, booking.end, snapshot)
            walk.note_opened()
        if attempt.failure is None or context.gone:
            if attempt.failure is None and (attempt.opened is not None or attempt.change is not None):
                walk.learn(attempt)
            return attempt
        following = await walk.amend(booking)
        if following is None and not looks:  # it was looked at for that alone
            attempt.failure = attempt.error = None
            return attempt
        following = following or await walk.go_on(booking)
        if following is None:
            attempt.settle_for_it()
            return attempt
        attempt.opened = None  # it knows the attempt: a circle, and the garbage collector's work
        attempt = following
        if reservation.streamed:
            context.waits_since_s = services.clock.monotonic_s()
