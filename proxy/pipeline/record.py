"""record: write the end of a request, exactly once, whatever happened to it."""

import logging

from proxy.core.waiter import Waiter
from proxy.pipeline.call import Call
from proxy.pipeline.dispatch import Attempt
from proxy.pipeline.parts import Parts
from proxy.pipeline.reserve import Reservation
from proxy.pipeline.settle import Heard, Terms, Verdict, settle
from proxy.policy.pricing import Price, cost_from_usage_pusd
from proxy.storage.rows import AttemptEnd, RequestEnd
from proxy.wire.usage import Usage

log = logging.getLogger("tollkeeper.record")

_MODEL_CHARS_MAX = 256


class Booking:
    """One request's way into the ledger: reserved when made, ended by the first call of end()."""

    def __init__(self, call: Call, reservation: Reservation, parts: Parts, settle_wait_s: float) -> None:
        self._call = call
        self._reservation = reservation
        self._parts = parts
        self._settle_wait_s = settle_wait_s
        self.attempt: Attempt | None = None
        self.verdict: Verdict | None = None
        self._row_end: RequestEnd | None = None

    async def end(self, status: int, error: str | None = None) -> Verdict:
        """Decide the cost and write it; returns when it is on disk, or when the disk has refused for too long.

        status is what the client gets. After the wait the row stays open in the ledger and counts in full, and the
        writer goes on trying: the client is not kept waiting for a broken disk.
        """
        if self.verdict is not None:
            return self.verdict
        self.verdict = verdict = self._decide()
        self._row_end = end = self._row(verdict, status, error)
        self._note_excess(end)
        written = self._parts.ledger.end(end, self._written)
        self._parts.patience.expect(written, self._settle_wait_s, self._stop_waiting)
        await written
        return verdict

    def _stop_waiting(self, written: Waiter[None]) -> None:
        if not written.done():
            log.error("settle.waiting", extra={"request_id": self._call.request_id})
            written.set_result(None)

    def _written(self, error: Exception | None) -> None:
        """The end is on disk, or could never get there: called by the ledger, whoever still waits."""
        if error is not None:
            log.error("settle.failed", extra={"request_id": self._call.request_id, "problem": str(error)})
        elif self._row_end is not None:
            self._parts.desk.ended(self._row_end)
            if self._row_end.state == "pending":
                self._parts.look_up_later(self._reservation.id)

    def _note_excess(self, end: RequestEnd) -> None:
        """What raises a total counts before the commit, what lowers it after."""
        excess_pusd = (end.cost_pusd or 0) - (self._reservation.amount_pusd or 0)
        if end.state == "settled" and excess_pusd > 0:
            self._parts.desk.excess(end.id, excess_pusd)

    def _decide(self) -> Verdict:
        attempt = self.attempt
        if attempt is None:
            return Verdict("released", 0, "none", frozenset())
        dialect = attempt.provider.dialect
        reserved_pusd = self._reservation.amount_pusd
        terms = Terms(dialect.reports_cost, dialect.has_generations, reserved_pusd, self._price)
        return settle(attempt.heard, terms)

    def _price(self, usage: Usage) -> int | None:
        attempt = self.attempt
        assert attempt is not None
        return usage_cost_pusd(self._parts.catalogue.price(attempt.provider, attempt.target.model), usage)

    def _row(self, verdict: Verdict, status: int, error: str | None) -> RequestEnd:
        row, attempt, call = self._reservation.row, self.attempt, self._call
        heard = attempt.heard if attempt is not None else Heard()
        usage = heard.usage
        now_s = self._parts.clock.monotonic_s()
        return RequestEnd(
            id=row.id,
            started_ms=row.started_ms,
            user=row.user,
            group_name=row.group_name,
            use_case=row.use_case,
            finished_ms=self._parts.clock.now_ms(),
            model=_short(heard.model) or (attempt.target.model if attempt is not None else None),
            provider=attempt.provider.name if attempt is not None else None,
            status=status,
            finish_reason=word(heard.finish_reason),
            input_tokens=usage.input_tokens if usage is not None else None,
            output_tokens=usage.output_tokens if usage is not None else None,
            cached_tokens=usage.cached_tokens if usage is not None else None,
            reasoning_tokens=usage.reasoning_tokens if usage is not None else None,
            cost_pusd=verdict.cost_pusd,
            cost_source=verdict.cost_source,
            state=verdict.state,
            ttft_ms=None if heard.first_byte_s is None else int((heard.first_byte_s - call.started_s) * 1000),
            duration_ms=int((now_s - call.started_s) * 1000),
            attempts=attempt.n if attempt is not None else 0,
            generation_id=_short(heard.generation_id),
            error=error or heard.error,
            flags=" ".join(sorted(verdict.flags)) or None,
            uncounted_tokens=uncounted_tokens(verdict, _is_counted(usage), row.reserved_tokens),
            last_attempt=self._unsent_row() if attempt is None else self._attempt_row(attempt, verdict, now_s),
        )

    def _unsent_row(self) -> AttemptEnd:
        """Close the attempt that was made durable with the reservation, but was never begun."""
        return AttemptEnd(
            request_id=self._reservation.id,
            n=1,
            outcome="not_sent",
            status=None,
            served_model=None,
            served_by=None,
            generation_id=None,
            input_tokens=None,
            output_tokens=None,
            cached_tokens=None,
            reasoning_tokens=None,
            cost_pusd=0,
            cost_source="none",
            ttft_ms=None,
            duration_ms=None,
        )

    def _attempt_row(self, attempt: Attempt, verdict: Verdict, now_s: float) -> AttemptEnd:
        heard, usage = attempt.heard, attempt.heard.usage
        return AttemptEnd(
            request_id=self._reservation.id,
            n=attempt.n,
            outcome=heard.error or "ok",
            status=heard.status,
            served_model=_short(heard.model),
            served_by=_short(heard.served_by),
            generation_id=_short(heard.generation_id),
            input_tokens=usage.input_tokens if usage is not None else None,
            output_tokens=usage.output_tokens if usage is not None else None,
            cached_tokens=usage.cached_tokens if usage is not None else None,
            reasoning_tokens=usage.reasoning_tokens if usage is not None else None,
            cost_pusd=verdict.cost_pusd,
            cost_source=verdict.cost_source,
            ttft_ms=None if heard.first_byte_s is None else int((heard.first_byte_s - attempt.started_s) * 1000),
            duration_ms=int((now_s - attempt.started_s) * 1000),
        )


def uncounted_tokens(verdict: Verdict, counted: bool, reserved_tokens: int | None) -> int:
    """Give the tokens that token limits count for a charged request whose tokens nobody counted."""
    guessed = verdict.state == "settled" and not counted and verdict.cost_source in ("reservation", "estimate", "none")
    return (reserved_tokens or 0) if guessed else 0


def _is_counted(usage: Usage | None) -> bool:
    """Tell whether any tokens were counted; a start tells the same by the columns of the row."""
    return usage is not None and (usage.input_tokens is not None or usage.output_tokens is not None)


def usage_cost_pusd(price: Price | None, usage: Usage) -> int | None:
    """Give tokens x price, rounded up; None without a price or without both counts."""
    if price is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    return cost_from_usage_pusd(
        price,
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens or 0,
        reasoning_tokens=usage.reasoning_tokens or 0,
    )


def word(text: str | None) -> str | None:
    """Keep a word of the provider's; a text that could quote an answer is none."""
    return text if text is not None and len(text) <= 64 and text.replace("_", "").replace("-", "").isalnum() else None


def _short(text: str | None) -> str | None:
    return None if text is None else text[:_MODEL_CHARS_MAX]
