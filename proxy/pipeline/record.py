"""record: write the end of a request, exactly once, whatever happened to it."""

import logging

from proxy.core.waiter import Waiter
from proxy.pipeline.call import Call
from proxy.pipeline.dispatch import Attempt
from proxy.pipeline.parts import Parts
from proxy.pipeline.reserve import Reservation, ledger_down
from proxy.pipeline.route import Target
from proxy.pipeline.settle import Heard, Terms, Verdict, settle
from proxy.policy.pricing import Price, cost_from_usage_pusd
from proxy.providers.rows import ProviderRow
from proxy.storage.rows import AttemptEnd, AttemptRow, RequestEnd
from proxy.storage.writer import LedgerUnavailableError
from proxy.wire.usage import NO_USAGE, Usage

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

    async def further(self, failed: Attempt, target: Target, provider: ProviderRow) -> None:
        """Make the next attempt durable, with the end of the one before it; raises OwnError 503."""
        clock, id_ = self._parts.clock, self._reservation.id
        row = AttemptRow(id_, failed.n + 1, clock.now_ms(), provider.name, provider.key_label, target.model)
        before = _attempt_end(id_, failed, Verdict("released", 0, "none", frozenset()), clock.monotonic_s())
        try:
            await self._parts.ledger.add_attempt(row, before)
        except LedgerUnavailableError as error:
            raise ledger_down(str(error)) from None

    def _row(self, verdict: Verdict, status: int, error: str | None) -> RequestEnd:
        row, attempt, call, clock = self._reservation.row, self.attempt, self._call, self._parts.clock
        heard = attempt.heard if attempt is not None else Heard()
        usage = heard.usage or NO_USAGE
        now_s = clock.monotonic_s()
        last = None if attempt is None or attempt.n == 1 else _attempt_end(row.id, attempt, verdict, now_s)
        return RequestEnd(  # in the order of the fields: by their names it would take twice as long
            row.id,
            clock.now_ms(),
            _short(heard.model) or (attempt.target.model if attempt is not None else None),
            attempt.provider.name if attempt is not None else None,
            status,
            word(heard.finish_reason),
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_tokens,
            usage.reasoning_tokens,
            verdict.cost_pusd,
            verdict.cost_source,
            verdict.state,
            None if heard.first_byte_s is None else int((heard.first_byte_s - call.started_s) * 1000),
            int((now_s - call.started_s) * 1000),
            attempt.n if attempt is not None else 0,
            _short(heard.generation_id),
            error or heard.error,
            " ".join(sorted(verdict.flags)) if verdict.flags else None,
            "not_sent" if attempt is None else heard.error or "ok",
            heard.status,
            _short(heard.served_by),
            row.started_ms,
            row.user,
            row.group_name,
            row.use_case,
            uncounted_tokens(verdict, _is_counted(usage), row.reserved_tokens),
            last,
        )


def _attempt_end(request_id: int, attempt: Attempt, verdict: Verdict, now_s: float) -> AttemptEnd:
    heard, usage = attempt.heard, attempt.heard.usage or NO_USAGE
    return AttemptEnd(
        request_id=request_id,
        n=attempt.n,
        outcome=heard.error or "ok",
        status=heard.status,
        served_model=_short(heard.model),
        served_by=_short(heard.served_by),
        generation_id=_short(heard.generation_id),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cached_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cost_pusd=verdict.cost_pusd,
        cost_source=verdict.cost_source,
        ttft_ms=None if heard.first_byte_s is None else int((heard.first_byte_s - attempt.started_s) * 1000),
        duration_ms=int((now_s - attempt.started_s) * 1000),
    )


def uncounted_tokens(verdict: Verdict, counted: bool, reserved_tokens: int | None) -> int:
    """Give the tokens that token limits count for a charged request whose tokens nobody counted."""
    guessed = verdict.state == "settled" and not counted and verdict.cost_source in ("reservation", "estimate", "none")
    return (reserved_tokens or 0) if guessed else 0


def _is_counted(usage: Usage) -> bool:
    """Tell whether any tokens were counted; a start tells the same by the columns of the row."""
    return usage.input_tokens is not None or usage.output_tokens is not None


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
