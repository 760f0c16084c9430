"""Write the beginning and the end of a request, each exactly once, whatever happens to it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import NoReturn

from proxy.core.eager_task import InlineFuture
from proxy.core.errors import ApiError
from proxy.core.limit_kinds import NO_PIECES, NONE_ASKED
from proxy.pipeline.admission.raise_reservation import bound_pusd, raise_reservation, raised_tokens, shortfall
from proxy.pipeline.admission.reserve import facts_for
from proxy.pipeline.context import RequestContext
from proxy.pipeline.errors import client_gone, ledger_down
from proxy.pipeline.idempotency_claim import IdempotencyClaim
from proxy.pipeline.services import Services
from proxy.pipeline.settlement.earlier_attempts import EarlierAttempts
from proxy.pipeline.settlement.end_rows import (
    USUAL_REASONS,
    attempt_end,
    counted,
    fell_back,
    names_of,
    of_contradicted,
    other_models,
    price_usage,
    short,
    short_names,
    uncounted_tokens,
    unsent_end,
    word,
)
from proxy.pipeline.settlement.overrun import report_overrun
from proxy.pipeline.settlement.plain_end import keep_end, plain_end
from proxy.pipeline.settlement.settle import give_up, settle, with_request_price
from proxy.pipeline.settlement.sum_attempts import SettledAttempt, add_up, held_pusd, share, total_settlement
from proxy.pipeline.stops import StopMadeError
from proxy.pipeline.values.attempt import Attempt
from proxy.pipeline.values.attempt_result import AttemptResult
from proxy.pipeline.values.finished import RequestFinished
from proxy.pipeline.values.reservation import Reservation
from proxy.pipeline.values.route import Target
from proxy.pipeline.values.settlement import (
    CONTRADICTED,
    DOWNGRADED,
    OVER,
    UNSETTLED,
    PricedUsage,
    Settlement,
)
from proxy.policy.quota import NOT_KNOWN, Amounts
from proxy.providers.generation import GenerationAccess
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow
from proxy.storage.ledger import LedgerUnavailableError
from proxy.storage.rows import AttemptRow, RequestEnd, Reserved
from proxy.wire.usage import NO_USAGE, Usage

log = logging.getLogger("tollkeeper.record")

_new_tuple = tuple.__new__  # read from its class it would take longer than the call
_UNSENT = Settlement("released", 0, "none", frozenset())
_UNHEARD = AttemptResult()
_ID_CHARS = 128  # of nearly every generation's id
_NOTHING_MORE = Amounts(0, 0, requests=0)


class Recorder:
    """One request's way into the ledger, and the owner of all that it holds, from its admission to end().

    end() is the one place where a hold ends: it comes after every open(), whatever was raised between, and what it
    does depends on what was written and sent, never on the exception.
    """

    _made_with: Mapping[int, GenerationAccess] = MappingProxyType(
        {}
    )  # what attempts that must be looked up went out with
    _heard_s = 0.0  # when the end was decided: nothing more came from the provider

    def __init__(self, context: RequestContext, reservation: Reservation, services: Services) -> None:
        self._context = context
        self.reservation = reservation
        self._services = services
        self.attempt: Attempt | None = None  # under way, or the last one
        self.settlement: Settlement | None = None
        self._opening: InlineFuture[None] | None = None  # of the open row; None: the ledger was never asked
        self.is_open = False  # the row is on disk, and the request may be sent
        self._quota_tokens = 0  # what token limits count, once the row is made
        self._quota_pieces = NO_PIECES  # the same of what few requests take
        self._past: EarlierAttempts | None = None  # what came before it
        self._end: RequestEnd | None = None  # the row of the end, until it is published

    def open(self) -> Awaitable[None] | None:
        """Begin to write the open row and first attempt; nothing may be sent whole before opened() has returned.

        None where the disk has nothing else to do: then the wait is shared with the way to the provider. Under load
        the wait comes first, and is to be awaited: sending in two would cost more than it hides, as rows are written
        in groups. It raises OwnError 503 where the disk refuses, and has settled the request then.
        """
        services = self._services
        ledger = services.ledger
        if self._context.claim is not None:
            return self._open_with_claim(self._context.claim)
        is_idle = ledger.is_idle()
        try:
            self._opening = ledger.open(self.reservation.row)
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            return self._fail(error)
        return self._wait() if not is_idle or services.stops.active else None

    async def _open_with_claim(self, claim: IdempotencyClaim) -> None:
        ledger, failure = self._services.ledger, None
        try:
            await claim.write(ledger)
            is_idle = ledger.is_idle()
            self._opening = ledger.open(self.reservation.row)
        except BaseException as error:  # noqa: BLE001 - raised again
            failure = error
        if failure is not None:
            await self._fail(failure)
        if not is_idle or self._services.stops.active:
            await self._wait()

    async def _wait(self) -> None:
        """Return once the open row is on disk, before anything is sent."""
        assert self._opening is not None, "it was asked for just now"
        failure = None
        try:
            await self._opening
            self._begin(is_end=False)
        except BaseException as error:  # noqa: BLE001 - raised again
            failure = error
        if failure is not None:
            await self._fail(failure)

    async def _fail(self, error: BaseException) -> NoReturn:
        """Settle a request that could not begin, and raise why."""
        refusal = ledger_down(str(error)) if isinstance(error, LedgerUnavailableError) else error
        await self.end_after(refusal)
        raise refusal from None

    async def opened(self, *, is_end: bool = True) -> None:
        """Return once the row is on disk: only now may the provider have the whole request.

        Raises OwnError 503 where the disk refuses, and client_gone() where nobody waits any more: nothing was sent.
        is_end: the end of a request is what waits; raises StopMadeError where a stop may be for it.
        """
        opening, context = self._opening, self._context
        assert opening is not None, "open() has asked for it"
        try:
            if not opening.is_done:
                await opening
                if self.attempt is not None:
                    self.attempt.started_s = context.clock.monotonic_s()
            elif opening.error is not None:
                raise opening.error
        except LedgerUnavailableError as error:
            raise ledger_down(str(error)) from None
        self._begin(is_end=is_end)

    def _begin(self, *, is_end: bool) -> None:
        """Record that the row is on disk; raises as opened() does where the request must not be sent all the same."""
        context = self._context
        if context.gone:
            raise client_gone()
        if is_end and self._services.stops.active:
            raise StopMadeError
        if self.reservation.streamed:
            context.waits_since_s = context.started_s  # from here on comments may be sent
        self.is_open = True

    async def end_after(self, error: BaseException | None) -> None:
        """Settle what nobody has settled, whatever was raised; None: nothing was."""
        if self.settlement is not None:
            return
        status, code = 500, "internal_error"
        if isinstance(error, ApiError):
            status, code = error.status, error.code
        elif isinstance(error, asyncio.CancelledError):
            stopped = self._context.stopped
            # cut off by a stop; or the proxy was told twice to stop
            status, code = (503, "cut") if stopped is None else (stopped.status, stopped.code)
        await self.end(status, code)

    async def end(
        self, status: int, error: str | None = None, meanwhile: Callable[[Settlement], None] | None = None, /
    ) -> Settlement:
        """Decide the cost and write it; returns when it is on disk, or when the disk has refused for too long.

        status is what the client gets; meanwhile is called where the disk has nothing else to do. After the wait the
        row stays open in the ledger and counts in full, and the writer goes on trying: the client is not kept waiting
        for a broken disk.
        """
        settlement = self.settlement
        if settlement is not None:
            return settlement
        services, context = self._services, self._context
        if error is None:
            settlement = self._settle_plainly(status)
        if settlement is None:
            settlement = await self._decide(status, error)
        end = self._end
        if end is None:
            return settlement
        context.is_logged = True
        try:
            is_idle = meanwhile is not None and services.ledger.is_idle()
            written = services.ledger.end(end, self._written, self._opening)
            timeout = services.write_timeout
            if not timeout.is_timed:
                timeout.look_later(written.loop)
            timeout.longest_s = context.snapshot.settlement_timeout_s
            timeout.waiting[written] = context.request_id
            if is_idle and meanwhile is not None:
                meanwhile(settlement)
            await written
        except LedgerUnavailableError as problem:  # nothing is written any more; the next start finds the row open
            if self._end is not None:
                self._publish(self._end, problem)
            log.error("settlement.unwritten", extra={"request_id": self._context.request_id, "problem": str(problem)})
        return settlement

    def _settle_plainly(self, status: int) -> Settlement | None:
        """Settle a request that is as plain as the last one of its plan, as _decide() does; None: it is not."""
        attempt, reservation, context = self.attempt, self.reservation, self._context
        plain = reservation.end
        if (
            plain is None
            or attempt is None
            or self._past is not None
            or attempt.key_held is not None
            or context.downgraded
            or not self.is_open
        ):
            return None
        self._heard_s = now_s = self._services.clock.monotonic_s()
        ended = plain_end(plain, reservation, attempt, status, (context.started_s, now_s, context.started_ms))
        if ended is None:
            return None
        self._end, self.settlement, self._quota_tokens = ended
        if reservation.amount_pusd is None:  # what raises a total counts before the commit
            self._services.limiter.raise_to(reservation.id, self.settlement.cost_pusd or 0)
        return self.settlement

    async def _decide(self, status: int, error: str | None) -> Settlement:
        """Decide what a request cost, and make the row of its end; none where there is no row to end."""
        services, attempt = self._services, self.attempt
        if not self.is_open:
            self.attempt = None  # nothing was sent
            if self._was_not_written():
                self.settlement = _UNSENT
                if attempt is not None:
                    self._end_key(attempt, _UNSENT)
                await services.limiter.release(self.reservation.id)
                return _UNSENT
        try:
            end, settlement, own = self._told(status, error)
        except Exception:
            log.exception("settlement.broken", extra={"request_id": self._context.request_id})
            end, settlement = self._charged_in_full(status, error)
            own = settlement
        else:
            if self.reservation.end is not None and attempt is not None and self._past is None:
                keep_end(self.reservation.end, self.reservation, attempt, end)
        if attempt is not None and attempt.key_held is not None:
            self._end_key(attempt, own)
        if self._context.downgraded:
            end = end._replace(flags=" ".join(sorted({DOWNGRADED, *(end.flags or "").split()})))
        self.settlement = settlement
        if end.counts is not None or end.uncounted_pieces is not NO_PIECES:
            self._quota_pieces = end.pieces
        self._end = end
        cost_pusd = settlement.cost_pusd or 0
        if settlement.state == "settled" and cost_pusd > (self.reservation.amount_pusd or 0):
            await services.limiter.raise_to(
                self.reservation.id, cost_pusd
            )  # what raises a total counts before the commit
            if OVER in settlement.flags:
                self._tell_over(end, cost_pusd)
        return settlement

    def _tell_over(self, end: RequestEnd, cost_pusd: int) -> None:
        reserved = self._first() if self._past is None else self._past.held
        report_overrun(self._services.counters, end.id, end.user, end.model, cost_pusd, reserved.cost_pusd or 0)

    def _was_not_written(self) -> bool:
        """Return whether the ledger certainly has no row: it was not asked, or has refused.

        One who was cut while waiting does not know: an end is queued behind the row, and finds it or not.
        """
        opening = self._opening
        if opening is None:
            return True
        return opening.is_done and not opening.cancelled() and opening.exception() is not None

    def _told(self, status: int, error: str | None) -> tuple[RequestEnd, Settlement, Settlement]:
        """Return the row of the end, the verdict on the request, and that on the attempt under way alone."""
        attempt, reserved_pusd = self.attempt, self.reservation.amount_pusd
        if self._past is not None:
            reserved_pusd = self._past.left().cost_pusd
        own = settlement = _UNSENT if attempt is None else self._settle(attempt, reserved_pusd)
        end = self._row(settlement, status, error)
        if self._past is not None:
            end, settlement = self._add_up(self._past, end, settlement)
            self._quota_tokens = end.quota_tokens
        return end, settlement, own

    def _charged_in_full(self, status: int, error: str | None) -> tuple[RequestEnd, Settlement]:
        """Return the end of a request whose figures could not be worked out: what may be spent is charged whole.

        Nothing that the provider said goes into the row, for that may be what the working out broke by.
        """
        attempt, past, self.attempt = self.attempt, self._past, None
        settlement = _UNSENT
        if past is not None or (attempt is not None and attempt.result.dispatched):
            priced = self.reservation.amount_pusd is not None
            held = self._services.limiter.held_pusd(self.reservation.id) if priced else None
            settlement = give_up(held, "reservation", {UNSETTLED})
        end = self._row(settlement, status, error)
        if attempt is not None:
            provider, model, names = attempt.provider.name, attempt.target.model, names_of(attempt)
            others = other_models(names, provider, model)
            end = end._replace(model=model, provider=provider, attempts=attempt.n, other_models=others)
        if past is not None:
            n, known = len(past.parts) + 1, sum(part.settlement.cost_pusd or 0 for part in past.parts)
            rest_pusd = None if settlement.cost_pusd is None else max(0, settlement.cost_pusd - known)
            last = unsent_end(self.reservation.id, n)._replace(
                outcome="internal_error", cost_pusd=rest_pusd, cost_source=settlement.cost_source
            )
            pieces = tuple(n * amount for amount in self.reservation.pieces.asked)
            names = [*past.names, *(end.other_models or "").split("\n")]
            end = end._replace(
                attempts=n,
                outcome="internal_error",
                attempt_ends=(last,),
                uncounted_pieces=pieces,
                other_models=other_models(names, end.provider, end.model),
            )
        elif settlement is not _UNSENT:
            end = end._replace(outcome="internal_error")
        return end, settlement

    def _end_key(self, attempt: Attempt, settlement: Settlement) -> None:
        """Count what an attempt cost for the limits of its key."""
        if attempt.key_held is not None:
            self._services.health.use.end(attempt.key_held, settlement.cost_pusd)
            attempt.key_held = None  # only now: if that raises, the request's end comes here again

    def _written(self, error: Exception | None) -> None:
        """Finish once the end is on disk, or can never get there; called by the ledger whether anybody waits or not.

        The hold ends first: nothing that hears of the end may come between the row and the hold. Where the end was
        refused the hold stays, but for a request whose row was refused as well.
        """
        settlement = self.settlement
        if error is not None:
            if not self.is_open:  # the open row was refused in the end, so that there is none to end
                self._services.limiter.release(self.reservation.id)
            else:
                log.error("settlement.failed", extra={"request_id": self._context.request_id, "problem": str(error)})
        elif settlement is not None:
            id_, state = self.reservation.id, settlement.state
            limiter, answer = self._services.limiter, NOT_KNOWN
            if limiter.model_sets and self._end is not None:
                answer = self._end.answer
            limiter.settle(id_, state, settlement.cost_pusd, self._quota_tokens, self._quota_pieces, answer)
            if state == "pending":
                if self.attempt is not None:
                    self._note_access(self.attempt)
                self._services.look_up_later(id_, self._made_with)
        if self._end is not None:
            self._publish(self._end, error)

    def _publish(self, end: RequestEnd, lost: Exception | None) -> None:
        """Publish the request's end, once; lost: why it is not on disk."""
        self._end = None
        services, attempt, past = self._services, self.attempt, self._past
        earlier, own_s = () if past is None else past.ended(), None
        if attempt is not None and not earlier:
            own_s = services.clock.monotonic_s() - self._heard_s + attempt.started_s - self._context.started_s
        services.events.finished(_new_tuple(RequestFinished, (self.reservation.row, end, earlier, lost is None, own_s)))

    def _note_access(self, attempt: Attempt) -> None:
        """Keep what an attempt was sent with, for later look-ups."""
        self._made_with = {**self._made_with, attempt.n: GenerationAccess(attempt.provider, attempt.key)}

    def _settle(self, attempt: Attempt, reserved_pusd: int | None) -> Settlement:
        settlement = settle(attempt.result, attempt.provider.dialect, reserved_pusd, self._price)
        rules = attempt.provider.rules
        if rules is None:
            return settlement
        return with_request_price(settlement, rules.request_pusd(attempt.target.model), reserved_pusd)

    def _price(self, usage: Usage) -> PricedUsage | None:
        attempt = self.attempt
        assert attempt is not None
        price = self._services.model_lists.price(attempt.provider, attempt.target.model)
        images = 0
        if price is not None and price.image_pusd:  # what was sent is counted by nobody but us
            images = facts_for(self.reservation.route, attempt.target).images
        return price_usage(price, usage, images)

    # Several attempts

    async def next_attempt(
        self,
        failed: Attempt,
        target: Target,
        provider: ProviderRow,
        key: Key,
        *,
        maybe_billed: bool,
        raises: bool = False,
    ) -> ApiError | None:
        """End the attempt that failed with a verdict of its own, and make the next one durable.

        More is set aside first where the failed one is billed or may be: maybe_billed is the word of the table of
        failures; and where the next one may come to more than was reserved for (raises). Gives the refusal where a
        limit has no room for that: nothing is changed then, and the failed attempt is the last one. Raises OwnError 503
        where the disk refuses: likewise.
        """
        id_, ledger, before = self.reservation.id, self._services.ledger, self._past or self._none_past()
        part = self._over(failed, before, maybe_billed=maybe_billed)
        past, more = before.with_part(part, failed), _NOTHING_MORE
        if maybe_billed or raises or part.settlement.state != "released":
            self._note_share_passed(part, before.left().cost_pusd)
            pieces = self.reservation.pieces.asked
            more = self._shortfall(
                past.left(), target, pieces if maybe_billed or part.settlement.state != "released" else NO_PIECES
            )
            refusal = await raise_reservation(self._context, self.reservation, more, self._services)
            if refusal is not None:
                return refusal
            past = past.extended(more)
        self._end_key(failed, part.settlement)  # if it raises, the failed attempt is still the last one
        self._past, self.attempt = past, None
        if part.settlement.state == "pending":
            self._note_access(failed)
        row = AttemptRow(
            id_, failed.n + 1, self._services.clock.now_ms(), provider.name, key.name, target.model, key.id
        )
        self._past = past._replace(rows=(*past.rows, row))
        failure = None
        try:
            await ledger.add_attempt(row, part.end, None if past.held == before.held else past.held)
        except Exception as error:  # noqa: BLE001 - raised again; it was not written: only one who is cut does not know
            self._past, self.attempt, failure = (before if before.parts else None), failed, error
        if failure is None:
            return None
        if more is not _NOTHING_MORE:
            await self._services.limiter.undo_raise(id_, more)
        if isinstance(failure, LedgerUnavailableError):
            raise ledger_down(str(failure)) from None
        raise failure

    def _none_past(self) -> "EarlierAttempts":
        return EarlierAttempts(self._first())

    def _first(self) -> Reserved:
        return Reserved(self.reservation.amount_pusd, self.reservation.row.reserved_tokens)

    def _over(self, failed: Attempt, before: "EarlierAttempts", *, maybe_billed: bool) -> SettledAttempt:
        """Return the failed attempt with its settlement and its share of the reservation."""
        left = before.left()
        bound = bound_pusd(self._context, self.reservation.route, (failed.target,), self._services)
        if left.cost_pusd is not None and bound is not None:
            bound = min(bound, left.cost_pusd)
        settlement = self._settle(failed, left.cost_pusd if bound is None else bound)
        part = SettledAttempt(
            settlement, attempt_end(self.reservation.id, failed, settlement, self._services.clock.monotonic_s())
        )
        held = share(part, left, bound, maybe_billed=maybe_billed)
        return SettledAttempt(settlement, part.end._replace(reserved_pusd=held.cost_pusd, reserved_tokens=held.tokens))

    def _note_share_passed(self, part: SettledAttempt, left_pusd: int | None) -> None:
        """Hold what an attempt cost above all that was left, before anything else is let in."""
        excess_pusd = (part.settlement.cost_pusd or 0) - (left_pusd or 0)
        if excess_pusd > 0:
            self._services.limiter.add_excess(self.reservation.id, excess_pusd)

    def _shortfall(self, left: Reserved, target: Target, pieces: tuple[int, ...]) -> Amounts:
        targets = self.reservation.route.targets
        following = targets[targets.index(target) :]
        next_pusd = bound_pusd(self._context, self.reservation.route, following, self._services)
        first = self._first()
        if first.tokens is not None:
            first = first._replace(tokens=first.tokens + raised_tokens(self.reservation.route, target))
        return shortfall(left, next_pusd, first, pieces)

    def _add_up(
        self, past: "EarlierAttempts", end: RequestEnd, settlement: Settlement
    ) -> tuple[RequestEnd, Settlement]:
        """Return the end of a request with several attempts: the sums over them, and the row of the last."""
        n, id_ = len(past.parts) + 1, self.reservation.id
        if self.attempt is None:
            last = unsent_end(id_, n)
            end = end._replace(model=past.parts[-1].end.served_model or past.model, provider=past.provider)
        else:
            last = attempt_end(id_, self.attempt, settlement, self._services.clock.monotonic_s())
        names = [*past.names, *(end.other_models or "").split("\n")]
        end = end._replace(other_models=other_models(names, end.provider, end.model))
        parts = [*past.parts, SettledAttempt(settlement, last)]
        self._services.limiter.raise_to(id_, held_pusd(parts, past.held))
        total = total_settlement([part.settlement for part in parts], past.held.cost_pusd)
        return add_up(end, parts, past.held, self.reservation.pieces)._replace(attempt_ends=(last,)), total

    def _row(self, settlement: Settlement, status: int, error: str | None) -> RequestEnd:
        reservation, attempt, context = self.reservation, self.attempt, self._context
        if attempt is not None:
            attempt_result, provider, asked, n = attempt.result, attempt.provider.name, attempt.target.model, attempt.n
        else:
            attempt_result, provider, asked, n = _UNHEARD, None, None, 0
        told = usage = attempt_result.usage or NO_USAGE
        if settlement.flags and not settlement.flags.isdisjoint(CONTRADICTED):
            told, usage = of_contradicted(usage, settlement), NO_USAGE
        # by their names the fields take several times as long
        input_tokens, output_tokens, cached_tokens, reasoning_tokens, _, _, _, _, _, extras = usage
        if input_tokens is None or output_tokens is None:  # as is_half()
            input_tokens = output_tokens = cached_tokens = reasoning_tokens = extras = None
        identity, started_s, first_byte_s = reservation.identity, context.started_s, attempt_result.first_byte_s
        self._heard_s = now_s = self._services.clock.monotonic_s()
        duration_ms = int((now_s - started_s) * 1000)
        uncounted = uncounted_tokens(settlement, reservation.tokens) if input_tokens is None else 0
        self._quota_tokens = (input_tokens or 0) + (output_tokens or 0) + uncounted
        counts = None if extras is None else counted(extras)
        pieces = reservation.pieces
        uncounted_pieces = NO_PIECES
        if (counts is not None or pieces is not NONE_ASKED) and settlement.state == "settled":
            uncounted_pieces = pieces.uncounted(counts)
        model, served_by, generation_id = attempt_result.model, attempt_result.served_by, attempt_result.generation_id
        model = short_names.get(model) or short_names[model] or asked
        if generation_id is not None and not (
            len(generation_id) <= _ID_CHARS and generation_id.isascii() and generation_id.isprintable()
        ):
            generation_id = short(generation_id)
        others = None
        if attempt is None:  # nothing was sent: it counts as what would have been asked
            others = f"{reservation.row.target_provider}/{reservation.row.target_model}"
        elif asked != model or attempt.target.handed:
            others = other_models(names_of(attempt), attempt.provider.name, model)
        finish_reason = attempt_result.finish_reason
        # in the order of the fields of RequestEnd; of more than 30 at once CPython would make a list first
        own = (
            context.started_ms,
            context.id,
            context.started_ms
            + duration_ms,  # so that begin, length and end agree, whatever the wall clock did meanwhile
            input_tokens,
            output_tokens,
            cached_tokens,
            reasoning_tokens,
            settlement.cost_pusd,
            None if first_byte_s is None else int((first_byte_s - started_s) * 1000),
            duration_ms,
            generation_id,
            told.upstream_pusd,
        )
        usual = (
            finish_reason if finish_reason in USUAL_REASONS else word(finish_reason),
            model,
            provider,
            None if served_by is None else short_names.get(served_by) or short_names[served_by],
            told.is_byok,
            status,
            attempt_result.status,
            settlement.cost_source,
            settlement.state,
            n,
            error or attempt_result.error,
            " ".join(sorted(settlement.flags)) if settlement.flags else None,
            "not_sent" if attempt is None else attempt_result.error or "ok",
            others,
            identity.user,
            identity.group,
            reservation.route.use_case,
            int(reservation.streamed),
            0 if attempt is None or n == 1 else fell_back(reservation.row, attempt),
            uncounted,
            (),
            counts,
            uncounted_pieces,
            identity.allowance.groups_above,
            None,
        )
        return _new_tuple(RequestEnd, own + usual)  # what RequestEnd(…) comes to, without the call between
