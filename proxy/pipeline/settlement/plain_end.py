"""The end of a plain request in one step: what it took, and the columns that it has in common with the last one.

It comes to what settle() and the recorder's row come to, wherever nothing is odd about an answer. Everything else goes
the long way.
"""

from collections.abc import Mapping
from typing import Any, Final

from proxy.core.limit_kinds import NO_PIECES, NONE_ASKED
from proxy.pipeline.settlement.end_rows import USUAL_REASONS
from proxy.pipeline.values.attempt import Attempt
from proxy.pipeline.values.plain_end import PlainEnd
from proxy.pipeline.values.reservation import Reservation
from proxy.pipeline.values.settlement import Settlement
from proxy.storage.rows import USUAL_FROM, RequestEnd

Ended = tuple[RequestEnd, Settlement, int]
"""The row of an end, the verdict, and the tokens that limits count."""

_OK: Final = 200
_ID_CHARS: Final = 128  # of nearly every generation's id
_NO_FLAGS: Final[frozenset[str]] = frozenset()
_new_tuple = tuple.__new__  # read from its class it would take longer than the call
# what is odd about a row where it is not so
_USUAL: Final[Mapping[str, Any]] = {
    "upstream_status": _OK,
    "cost_source": "provider",
    "state": "settled",
    "attempts": 1,
    "error": None,
    "flags": None,
    "outcome": "ok",
    "other_models": None,
    "fell_back": 0,
    "uncounted_tokens": 0,
    "attempt_ends": (),
    "counts": None,
    "uncounted_pieces": NO_PIECES,
    "billed": None,
}


def keep_end(plain: PlainEnd, reservation: Reservation, attempt: Attempt, end: RequestEnd) -> None:
    """Keep what the next end has in common with this one, if nothing is odd about what both have."""
    attempt_result, provider = attempt.result, attempt.provider
    if (
        provider.rules is not None
        or not provider.dialect.reports_cost
        or reservation.pieces is not NONE_ASKED
        or attempt_result.finish_reason not in USUAL_REASONS
        or any(getattr(end, name) != value for name, value in _USUAL.items())
    ):
        return
    plain.target, plain.provider, plain.columns = attempt.target, provider, end[USUAL_FROM:]
    plain.status, plain.streamed = end.status, reservation.streamed
    plain.finish_reason, plain.model = attempt_result.finish_reason, attempt_result.model
    plain.served_by, plain.is_byok = attempt_result.served_by, end.is_byok


def plain_end(
    plain: PlainEnd, reservation: Reservation, attempt: Attempt, status: int, times: tuple[float, float, int]
) -> Ended | None:
    """Return the end of a request that is as plain as the one that was kept; None: it has to be worked out.

    times: when the request began and when this is decided, on the monotonic clock, and when it began on the other.
    """
    attempt_result, reserved_pusd = attempt.result, reservation.amount_pusd
    usage, generation_id = attempt_result.usage, attempt_result.generation_id
    if (
        usage is None
        or plain.target is not attempt.target
        or plain.provider is not attempt.provider
        or plain.status != status
        or attempt_result.status != _OK
        or attempt_result.error is not None
        or attempt_result.flags
        or not attempt_result.dispatched
        or attempt_result.canned
        or attempt_result.usage_is_open
        or attempt_result.least_tokens
        or attempt_result.model != plain.model
        or attempt_result.finish_reason != plain.finish_reason
        or attempt_result.served_by != plain.served_by
        or reservation.streamed is not plain.streamed
    ):
        return None
    # by their names the fields take several times as long
    sent, got, cached, reasoning, cost_pusd, is_exact, _, is_byok, upstream_pusd, extras = usage
    if (
        not got
        or not cost_pusd
        or (reserved_pusd is not None and cost_pusd > reserved_pusd)
        or sent is None
        or extras is not None
        or not is_exact
        or is_byok is not plain.is_byok
    ):
        return None
    if generation_id is not None and not (
        len(generation_id) <= _ID_CHARS and generation_id.isascii() and generation_id.isprintable()
    ):
        return None
    started_s, now_s, started_ms = times
    duration_ms = int((now_s - started_s) * 1000.0)
    first_byte_s = attempt_result.first_byte_s
    own = (
        started_ms,
        reservation.id,
        started_ms + duration_ms,
        sent,
        got,
        cached,
        reasoning,
        cost_pusd,
        None if first_byte_s is None else int((first_byte_s - started_s) * 1000.0),
        duration_ms,
        generation_id,
        upstream_pusd,
    )
    end = _new_tuple(RequestEnd, own + plain.columns)  # what RequestEnd(…) comes to, without the call between
    return end, Settlement("settled", cost_pusd, "provider", _NO_FLAGS), sent + got
