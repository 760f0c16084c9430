"""The engine of quotas: may this request be let in, and what does it hold until it is settled.

Everything happens in one step without an await: all limits hold and the worst case is reserved in all of
them, or nothing is changed and the refusal says which limit, and why. Wall time is handed in and must be the
time that is written to the ledger's row, so that a book rebuilt from the rows equals the running one.
"""

from collections import deque
from collections.abc import Iterable, KeysView, Sequence
from operator import add, gt, neg
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from proxy.core.limit_kinds import NO_PIECES, Taken
from proxy.policy.quota.limit_windows import CountedLimit, LimitWindows
from proxy.policy.quota.model_set import NOT_KNOWN, ModelAnswer, Models, is_counted, may_serve, set_scope
from proxy.policy.quota.quota import (
    Amounts,
    LimitExceeded,
    LimitRow,
    Quota,
    QuotaError,
    Room,
    SettledRow,
    first_refusal,
    scopes_of,
    use_case_scope,
)
from proxy.policy.quota.scope_totals import (
    NOTHING_TAKEN,
    Hold,
    LateSums,
    RequestScopes,
    ScopeTotals,
    end_hold,
    end_taken,
    hold_in,
)
from proxy.policy.quota.window import HOUR_MS, TOTAL, window_at

_FOLDED_AT_ONCE = 8  # scopes: less than a tenth of a millisecond
HORIZON_DAYS = 400  # the longest rolling window of a configuration is 366 days
_KEPT_WINDOWS = 4096  # of so many sets of limits; one is a few hundred bytes

Targets = tuple[tuple[str, str], ...]
"""Provider and model of each target of a route."""


class FineRows(NamedTuple):
    """What a rebuild takes from rows instead of the hourly roll-up: all from since_ms on, and these hours."""

    since_ms: int
    hours: frozenset[int]

    def covers(self, at_ms: int) -> bool:
        return at_ms >= self.since_ms or at_ms - at_ms % HOUR_MS in self.hours


def fine_rows(now_ms: int, zone: ZoneInfo, horizon_days: int = HORIZON_DAYS) -> FineRows:
    """Return which rows a rebuild needs one by one.

    These are the running hour, the one before and what follows (minutes and local hours), and in
    zones off UTC by parts of an hour each hour of UTC in which a day begins.
    """
    this_ms = now_ms - now_ms % HOUR_MS
    hours = set()
    at_ms = this_ms
    while at_ms > this_ms - horizon_days * 24 * HOUR_MS:
        start_ms = window_at("day", zone, at_ms).start_ms
        if start_ms % HOUR_MS:
            hours.add(start_ms - start_ms % HOUR_MS)
        at_ms = start_ms - 1
    return FineRows(this_ms - HOUR_MS, frozenset(hours))


class QuotaBook:
    """All totals, in memory, owned by one process; rebuilt from the ledger's rows at start.

    zone decides where calendar windows begin: for another zone build another book. Spending older than
    horizon_days counts in `total` windows only; it must be at least the longest window of the configuration.
    """

    def __init__(self, zone: ZoneInfo, horizon_days: int = HORIZON_DAYS) -> None:
        self.zone = zone
        self._horizon_ms = horizon_days * 24 * HOUR_MS
        self._scopes: dict[str, ScopeTotals] = {}
        self._late = LateSums(zone)
        self._scopes_of: dict[tuple[str, ...], RequestScopes] = {}
        self._windows_of: dict[int, LimitWindows] = {}  # by the identity of the limits, which these keep alive
        self._open: dict[object, Hold] = {}
        self._kept: set[str] = set()  # scopes of use cases: those whose totals are kept
        self.model_sets: tuple[Models, ...] = ()  # those whose totals are kept, in every scope
        self._with_models: dict[tuple[tuple[str, ...], Targets], tuple[str, ...]] = {}
        # of a scope or set whose past is being read: what was let in meanwhile
        self._counted: dict[str | Models, set[Any]] = {}
        self._fold_due_ms = 0  # before now while some scopes are still to be folded
        self._fold_ms = 0  # the hour in which those were put down
        self._to_fold: deque[ScopeTotals] = deque()

    # The journey of a request

    def check_and_reserve(
        self,
        request_id: object,
        scopes: tuple[str, ...],
        now_ms: int,
        amounts: Amounts,
        quotas: Sequence[Quota],
    ) -> Hold | LimitExceeded:
        """Admit a request and reserve its amounts in all scopes, or refuse it and change nothing.

        Raises QuotaError for a request that is already open.
        """
        if request_id in self._open:
            raise QuotaError(f"request {request_id} is already open")
        cost_pusd, tokens, requests, _, _, _, pieces = amounts
        if cost_pusd < 0 or tokens < 0:
            raise ValueError("a reservation is not below 0")
        if now_ms >= self._fold_due_ms:
            self._fold(now_ms)
        if quotas and (refusals := self._windows(quotas, now_ms).refusals(amounts, True)):
            return first_refusal(refusals)
        return self._reserve(request_id, scopes, now_ms, (cost_pusd, tokens, requests, pieces), True)

    def reserve_freely(
        self,
        request_id: object,
        scopes: tuple[str, ...],
        now_ms: int,
        taken: Taken,
        quotas: Sequence[Quota],
        room: Room,
    ) -> bool:
        """Admit a request that takes no pieces as check_and_reserve() does, where its limits leave more than it needs.

        room: at least what it takes. False: nothing is changed.
        """
        if request_id in self._open:
            raise QuotaError(f"request {request_id} is already open")
        if now_ms >= self._fold_due_ms:
            self._fold(now_ms)
        if quotas and not self._windows(quotas, now_ms).leave(room):
            return False
        self._reserve(request_id, scopes, now_ms, taken, True)
        return True

    def refused(self, now_ms: int, amounts: Amounts, quotas: Sequence[Quota]) -> LimitExceeded | None:
        """Return which limit would refuse a request, if any; nothing is changed."""
        refusals = self._windows(quotas, now_ms).refusals(amounts, new=True)
        return first_refusal(refusals) if refusals else None

    def extend(self, request_id: object, more: Amounts, quotas: Sequence[Quota]) -> Hold | LimitExceeded:
        """Reserve more for an open request, in its own windows, before an attempt after one that may be billed."""
        held = self._held(request_id)
        more = more._replace(requests=0)
        refusals = self._windows(quotas, held.started_ms).refusals(more, new=False)
        if refusals:
            return first_refusal(refusals)
        self._hold_more(held, more.taken)
        return held

    def note_excess(self, request_id: object, cost_pusd: int, tokens: int = 0) -> None:
        """Raise what a request holds, past any limit: it cost more and its row is not yet written."""
        if cost_pusd < 0 or tokens < 0:
            raise ValueError("an excess is not below 0")
        self._hold_more(self._held(request_id), (cost_pusd, tokens, 0, NO_PIECES))

    def raise_to(self, request_id: object, cost_pusd: int) -> None:
        """Have a request hold at least so much, as note_excess() of what is missing; one without a price holds 0."""
        held = self._open.get(request_id) or self._held(request_id)
        held_pusd, tokens, requests, pieces = held.amounts
        if cost_pusd > held_pusd:
            held.amounts = (cost_pusd, tokens, requests, pieces)
            if held.scopes.watched:
                hold_in(held.scopes.watched, held.started_ms, (cost_pusd - held_pusd, 0, 0, NO_PIECES))

    def take_back(self, request_id: object, more: Amounts) -> None:
        """Undo an extension that never came into force."""
        held = self._held(request_id)
        pieces = held.amounts[3]
        if more.cost_pusd > held.cost_pusd or more.tokens > held.tokens or any(map(gt, more.pieces, pieces)):
            raise ValueError("more is taken back than is held")
        self._hold_more(held, (-more.cost_pusd, -more.tokens, 0, tuple(map(neg, more.pieces))))

    def held_pusd(self, request_id: object) -> int:
        """Return what an open request holds."""
        return self._held(request_id).cost_pusd

    def settle(
        self,
        request_id: object,
        cost_pusd: int,
        tokens: int,
        pieces: tuple[int, ...] = NO_PIECES,
        answer: ModelAnswer = NOT_KNOWN,
    ) -> None:
        """End a request with what it came to, even above what it held. Call it once the row is on disk.

        answer: what decides in which sets of models it counts.
        """
        if cost_pusd < 0 or tokens < 0:
            raise ValueError("a settlement is not below 0")
        held = self._open.pop(request_id, None)
        if held is None:
            raise QuotaError(f"request {request_id} is not open: it ended before, or never began")
        scopes, started_ms, requests = held.scopes, held.started_ms, held.amounts[2]
        if self.model_sets or pieces is not NO_PIECES:
            self._end_by_models(held, (cost_pusd, tokens, requests, pieces), answer)
            return
        if not scopes.from_ms <= started_ms < scopes.until_ms:
            scopes.begin_minute(started_ms, self.zone)
        scopes.cost_pusd += cost_pusd
        scopes.tokens += tokens
        scopes.requests += requests
        if scopes.watched:
            end_taken(held, scopes.watched, (cost_pusd, tokens, requests, NO_PIECES))

    def release(self, request_id: object, answer: ModelAnswer = NOT_KNOWN, *, counts: bool = True) -> None:
        """End a request that was certainly not billed; counts=False: its row was never written either."""
        held = self._end(request_id)
        self._end_by_models(held, (0, 0, held.amounts[2] if counts else 0, NO_PIECES), answer)

    def _end_by_models(self, held: Hold, amounts: Taken, answer: ModelAnswer) -> None:
        """End a request in each set of models as the answer says, also where nobody expected that it would count."""
        for totals in held.scopes.all:
            takes_part = not totals.models or is_counted(totals.models, answer)
            end_hold(held, (totals,), amounts if takes_part else NOTHING_TAKEN, self.zone)
        sets = {totals.models for totals in held.scopes.all}
        others = [models for models in self.model_sets if models not in sets and is_counted(models, answer)]
        if others and amounts != NOTHING_TAKEN:
            scopes = tuple(totals.scope for totals in held.scopes.all if not totals.models)
            for scope in self._with_sets(scopes, others)[len(scopes) :]:
                self._scope(scope).settle(held.started_ms, amounts, self.zone)

    def stop_running(self, request_id: object) -> None:
        """Stop counting a request as concurrent, though its cost is not known yet."""
        held = self._held(request_id)
        if held.running:
            held.running = False
            for totals in held.scopes.watched:
                totals.resting += 1

    def adjust(self, scopes: tuple[str, ...], at_ms: int, cost_pusd: int, answer: ModelAnswer = NOT_KNOWN) -> None:
        """Add to what was spent at an instant, or take from it where cost_pusd is below 0.

        answer: what decides in which sets of models it counts. A window that the instant is not in stays as it is.
        """
        for totals in self._totals_for(self.with_answer(scopes, answer)):
            totals.settle(at_ms, (cost_pusd, 0, 0, NO_PIECES), self.zone)

    # What limits say

    def headroom_pusd(self, quotas: Sequence[Quota], now_ms: int, ignore_reserved: bool = False) -> int | None:
        """Return what the tightest hard cost limit leaves, at least 0; None without one.

        ignore_reserved gives what would be left if all open requests came to nothing.
        """
        return self._windows(quotas, now_ms).headroom_pusd(ignore_reserved)

    def limits_view(self, quotas: Sequence[Quota], now_ms: int) -> list[LimitRow]:
        """Return a row for each quota, in their fixed order."""
        return self._windows(quotas, now_ms).rows()

    def tightest(self, quotas: Sequence[Quota], now_ms: int) -> list[tuple[CountedLimit, int]]:
        """Return of each kind but concurrency the limit that leaves least, the first of several, and what it leaves."""
        return self._windows(quotas, now_ms).tightest()

    def open_requests(self) -> dict[object, Hold]:
        """Return what is open, by request."""
        return dict(self._open)

    def open_ids(self) -> KeysView[Any]:
        """Return the ids of all that is open, as a view."""
        return self._open.keys()

    def open_in(self, scope: str) -> int:
        """Count what is open in a scope."""
        totals = self._scope(scope)
        return sum(totals in held.scopes.all for held in self._open.values())

    # Rebuilding

    def load_hours(self, rows: Iterable[SettledRow]) -> None:
        """Add hours of the roll-up; what fine_rows covers must come through load_rows instead."""
        for row in rows:
            for totals in self._totals_for(scopes_of(row.user, row.group, None, row.above)):
                totals.settle_hour(row.at_ms, row.taken)

    def load_rows(self, rows: Iterable[SettledRow]) -> None:
        """Add settled requests (or sums of one minute) at the instant they began."""
        for row in rows:
            for totals in self._totals_for(scopes_of(row.user, row.group, None, row.above)):
                totals.settle(row.at_ms, row.taken, self.zone)

    def load_scope(self, scope: str, hours: Iterable[SettledRow], rows: Iterable[SettledRow]) -> None:
        """Keep the totals of a use case from the start on; what is open and counts in it must be loaded after this."""
        self.open_scope(scope)
        self.load_past(scope, hours, rows)

    def keeps(self, scope: str) -> bool:
        """Return whether the totals of a use case are kept."""
        return scope in self._kept

    def with_kept(self, scopes: tuple[str, ...], use_case: str) -> tuple[str, ...]:
        """Add the scope of a use case whose totals are kept, so that a request counts whatever limits it came under."""
        scope = use_case_scope(use_case)
        return (*scopes, scope) if scope in self._kept and scope not in scopes else scopes

    def with_models(self, scopes: tuple[str, ...], targets: Targets) -> tuple[str, ...]:
        """Add the scopes of the sets of models that one of the targets may be answered from; call it last."""
        found = self._with_models.get((scopes, targets))
        if found is None:
            if len(self._with_models) >= _KEPT_WINDOWS:
                self._with_models.clear()
            sets = [models for models in self.model_sets if any(may_serve(models, *target) for target in targets)]
            found = self._with_models[scopes, targets] = self._with_sets(scopes, sets)
        return found

    def with_answer(self, scopes: tuple[str, ...], answer: ModelAnswer) -> tuple[str, ...]:
        """Add the scopes of the sets of models that an answer counts in."""
        return self._with_sets(scopes, [models for models in self.model_sets if is_counted(models, answer)])

    def _with_sets(self, scopes: tuple[str, ...], sets: Iterable[Models]) -> tuple[str, ...]:
        """Add scopes of sets; of a use case those whose totals are kept."""
        more = [set_scope(scope, models) for models in sets for scope in scopes]
        return (*scopes, *[scope for scope in more if not scope.startswith("use_case:") or scope in self._kept])

    def open_models(self, models: Models) -> set[Any]:
        """Start keeping the totals of a set of models in every scope; load_models() must follow, or close_models().

        Return the requests that are let in until then, as a set that grows: they are not part of the past.
        """
        for scope in [scope for scope, totals in self._scopes.items() if totals.models == models]:
            if not scope.startswith("use_case:"):
                del self._scopes[scope]
        self.model_sets = (*self.model_sets, models)
        self._forget_scopes()
        counted = self._counted[models] = set()
        return counted

    def close_models(self, models: Models) -> None:
        """Stop keeping the totals of a set of models: its past could not be read."""
        self.model_sets = tuple(one for one in self.model_sets if one != models)
        self._with_models.clear()
        self._counted.pop(models, None)

    def load_models(self, models: Models, hours: Iterable[SettledRow], rows: Iterable[SettledRow]) -> None:
        """Add what was spent on a set of models before its totals were kept."""
        self._counted.pop(models, None)
        for row in hours:
            for totals in self._totals_for(scopes_of(row.user, row.group, None, row.above, models)):
                totals.settle_hour(row.at_ms, row.taken)
        for row in rows:
            for totals in self._totals_for(scopes_of(row.user, row.group, None, row.above, models)):
                totals.settle(row.at_ms, row.taken, self.zone)

    def _forget_scopes(self) -> None:
        self._scopes_of.clear()
        self._windows_of.clear()
        self._with_models.clear()

    def open_scope(self, scope: str) -> set[Any]:
        """Start keeping the totals of a use case, or of models in one; load_past() or close_scope() must follow.

        Return the requests that are let in until then, as a set that grows: they are not part of the past.
        """
        self._scopes[scope] = ScopeTotals(scope, self._late)
        self._forget_scopes()
        self._kept.add(scope)
        counted = self._counted[scope] = set()
        return counted

    def close_scope(self, scope: str) -> None:
        """Stop keeping the totals of a use case: its past could not be read."""
        self._kept.discard(scope)
        self._with_models.clear()
        self._counted.pop(scope, None)

    def load_past(self, scope: str, hours: Iterable[SettledRow], rows: Iterable[SettledRow]) -> None:
        """Add what was booked under a use case before its totals were kept."""
        self._counted.pop(scope, None)
        totals = self._scopes[scope]
        for row in hours:
            totals.settle_hour(row.at_ms, row.taken)
        for row in rows:
            totals.settle(row.at_ms, row.taken, self.zone)

    def load_open(
        self,
        request_id: object,
        scopes: tuple[str, ...],
        started_ms: int,
        cost_pusd: int,
        tokens: int,
        pieces: tuple[int, ...] = NO_PIECES,
    ) -> None:
        """Add a reservation that a crash left open: it counts in full, but no longer as concurrent."""
        if request_id in self._open:
            raise QuotaError(f"request {request_id} is already open")
        self._reserve(request_id, scopes, started_ms, (cost_pusd, tokens, 1, pieces), running=False)

    def audit(self) -> list[str]:
        """Sum every window in use anew and name each that differs from what was kept.

        A minute or hour that ended so long ago that its minutes were folded cannot be summed anew, and is left out.
        """
        faults = []
        for totals in self._scopes.values():
            for name, window in totals.windows.items():
                if name in ("minute", "hour") and window.start_ms < totals.folded_ms:
                    continue
                probe_ms = window.until_ms - 1 if name != TOTAL else 0
                fresh = totals.summed(window_at(name, self.zone, probe_ms))
                if (fresh.settled, fresh.reserved) != (window.settled, window.reserved):
                    faults.append(
                        f"{totals.scope} {name}: kept {window.settled} and {window.reserved} reserved, "
                        f"rows say {fresh.settled} and {fresh.reserved}"
                    )
        return faults

    # Inside

    def _scope(self, scope: str) -> ScopeTotals:
        totals = self._scopes.get(scope)
        if totals is None:
            totals = self._scopes[scope] = ScopeTotals(scope, self._late)
        return totals

    def _watched_scope(self, scope: str) -> ScopeTotals:
        """Return the totals of a scope that a limit is held against from now on."""
        totals = self._scope(scope)
        if not totals.is_watched:
            totals.watch(self._open.values())
            self._scopes_of.clear()  # those that it is in are found again
        return totals

    def _totals_for(self, scopes: tuple[str, ...]) -> tuple[ScopeTotals, ...]:
        return self._request_scopes(scopes).all

    def _request_scopes(self, scopes: tuple[str, ...]) -> RequestScopes:
        found = self._scopes_of.get(scopes)
        if found is None:
            all_totals = tuple(self._scope(scope) for scope in scopes)
            found = self._scopes_of[scopes] = RequestScopes(all_totals, self._late)
        return found

    def _windows(self, quotas: Sequence[Quota], now_ms: int) -> LimitWindows:
        """Return the windows of these limits at an instant: those of the last time, where they hold still."""
        known, moves_of_all = self._windows_of.get(id(quotas)), self._late.moves
        if known is not None and known.from_ms <= now_ms < known.until_ms:
            if known.moves_of_all == moves_of_all:
                return known
            for totals, moves in known.seen:
                if totals.moves != moves:
                    break
            else:
                known.moves_of_all = moves_of_all
                return known
        found = []
        for quota in quotas:
            totals = self._watched_scope(quota.counted_in)
            window = totals.window(quota.window, self.zone, now_ms) if quota.window else None
            found.append((quota, totals, window))
        windows = LimitWindows(quotas, found)
        if isinstance(quotas, tuple):  # what cannot change
            if len(self._windows_of) >= _KEPT_WINDOWS:
                self._windows_of.clear()
            self._windows_of[id(quotas)] = windows
        return windows

    def _held(self, request_id: object) -> Hold:
        held = self._open.get(request_id)
        if held is None:
            raise QuotaError(f"request {request_id} is not open: it ended before, or never began")
        return held

    def _end(self, request_id: object) -> Hold:
        held = self._open.pop(request_id, None)
        if held is None:
            raise QuotaError(f"request {request_id} is not open: it ended before, or never began")
        return held

    def _reserve(
        self, request_id: object, scopes: tuple[str, ...], started_ms: int, amounts: Taken, running: bool
    ) -> Hold:
        counted_in = self._scopes_of.get(scopes) or self._request_scopes(scopes)
        self._open[request_id] = held = Hold(request_id, counted_in, started_ms, amounts, running)
        if counted_in.watched:
            for totals in counted_in.watched:
                totals.open[request_id] = held
                if not running:
                    totals.resting += 1
            hold_in(counted_in.watched, started_ms, amounts)
        if self._counted:
            for totals in counted_in.all:
                for key in (totals.scope, totals.models):
                    if key in self._counted:
                        self._counted[key].add(request_id)
        return held

    def _hold_more(self, held: Hold, amounts: Taken) -> None:
        (cost_pusd, tokens, requests, pieces), (more_pusd, more_tokens, _, more_pieces) = held.amounts, amounts
        if more_pieces is not NO_PIECES:
            pieces = tuple(map(add, pieces, more_pieces))
        held.amounts = (cost_pusd + more_pusd, tokens + more_tokens, requests, pieces)
        hold_in(held.scopes.watched, held.started_ms, amounts)

    def _fold(self, now_ms: int) -> None:
        """Fold the totals of some scopes, once an hour each: those of thousands together take as long as ten requests.

        What an hour's requests leave unfolded is first in the next one; until then it only takes more room.
        """
        hour_ms = now_ms - now_ms % HOUR_MS
        if hour_ms != self._fold_ms:
            self._fold_ms = hour_ms
            left = {totals.scope for totals in self._to_fold}
            self._to_fold.extend(totals for scope, totals in self._scopes.items() if scope not in left)
        for _ in range(min(_FOLDED_AT_ONCE, len(self._to_fold))):
            totals = self._to_fold.popleft()
            totals.fold(now_ms, self.zone, self._horizon_ms)
        if not self._to_fold:
            self._fold_due_ms = hour_ms + HOUR_MS
