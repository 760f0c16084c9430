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
from proxy.pipeline.relay.open_answer import open_answer, relay_of
from proxy.pipeline.services import Services
from proxy.pipeline.settlement.recorder import Recorder
from proxy.pipeline.upstream.hops import Hops
from proxy.pipeline.upstream.send import send_attempt


async def find_answer(
    context: RequestContext, hops: Hops, recorder: Recorder, services: Services
) -> Relay | FinalError:
    """Return what passes the answer on, or the error that is left when no step is. Raises ApiError."""
    if context.gone:
        raise client_gone()
    reservation = recorder.reservation
    attempt = hops.begin(reservation)
    if reservation.streamed:
        context.waits_since_s = context.started_s  # from here on signs of life may go out
    while True:
        recorder.attempt = attempt
        may_go = hops.enter(attempt)
        if may_go is None:
            may_go = await hops.stand_in_line(attempt)
        if may_go:
            await send_attempt(context, attempt, reservation, services)
        looks, opened = True, None
        if attempt.failure is None and ((looks := hops.looks_at_answers) or hops.doubts(attempt)):
            opened = await open_answer(context, attempt, recorder.end)
            hops.note_opened()
        if attempt.failure is None or context.gone:
            if attempt.failure is None and (opened is not None or attempt.change is not None):
                hops.learn(attempt)
            break
        following = await hops.amend(recorder)
        if following is None and not looks:  # it was looked at for that alone
            attempt.failure = attempt.error = None
            break
        following = following or await hops.go_on(recorder)
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
