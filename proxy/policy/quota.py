"""The engine of quotas: may this request be let in, and what does it hold until it is settled.

Everything happens in one step without an await: all limits hold and the worst case is reserved in all of
them, or nothing is changed and the refusal says which limit, and why. Wall time is handed in and must be the
time that is written to the ledger's row, so that a book rebuilt from the rows equals the running one.
"""

from collections.abc import Iterable, KeysView, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from proxy.policy.account import COST, KINDS, REQUESTS, Account, Reservation, Span
from proxy.policy.window import HOUR_MS, TOTAL, length_ms, rolling_hours, window_at

Kind = Literal["cost", "requests", "tokens", "concurrency"]
Mode = Literal["hard", "soft"]

_KIND_ORDER = {"cost": 0, "tokens": 1, "requests": 2, "concurrency": 3}
_SCOPE_ORDER = {"user": 0, "group": 1, "all": 2, "use_case": 3}
HORIZON_DAYS = 400  # the longest rolling window of a configuration is 366 days


class QuotaError(RuntimeError):
    """A request was reserved twice, or ended without being open: a fault of the program."""


class Quota(NamedTuple):
    """One limit on one scope.

    scope is `user:<name>`, `group:<name>`, `all` or `use_case:<name>`; amount is in pico-USD for cost, else a count;
    window is a word of proxy.policy.window; concurrency has none ("").
    """

    scope: str
    kind: Kind
    amount: int
    window: str
    mode: Mode = "hard"


class Amounts(NamedTuple):
    """What a request may come to at most, and for soft limits what it is thought to come to.

    is_priced=False: its price is not known and cost_pusd is 0; then only soft cost limits may apply.
    """

    cost_pusd: int
    tokens: int
    requests: int = 1
    estimate_pusd: int = 0
    estimate_tokens: int = 0
    is_priced: bool = True


Admitted = Reservation
"""The request holds its worst case in all scopes until settle or release."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was changed. needed is what the request asked of this quota.

    resets_at_ms is when its window ends, for a rolling one when its oldest hour leaves; None for the total
    and for concurrency. only_reservations_in_way: it would fit if the open requests came to nothing, so
    waiting may help.
    """

    quota: Quota
    used: int
    reserved: int
    needed: int
    resets_at_ms: int | None
    only_reservations_in_way: bool

    def retry_after_s(self, now_ms: int) -> int:
        """Return after how many seconds, 1 to 60, a new try makes sense; rounded up: never too early."""
        if self.resets_at_ms is None:
            return 1
        return max(1, min(60, -((now_ms - self.resets_at_ms) // 1000)))


class LimitRow(NamedTuple):
    """One line of GET /v1/me/limits; remaining is never below 0. Cost is in pico-USD."""

    scope: str
    kind: Kind
    window: str
    mode: Mode
    limit: int
    used: int
    reserved: int
    remaining: int
    resets_at_ms: int | None


class SettledRow(NamedTuple):
    """Settled amounts of one user at an instant, or of the hour that begins at it (from a roll-up)."""

    at_ms: int
    user: str
    group: str | None
    cost_pusd: int
    tokens: int
    requests: int


def scopes_of(user: str, group: str | None, use_case: str | None = None) -> tuple[str, ...]:
    """Return the scopes that a user's request counts in; use_case: one that has limits."""
    scopes = (f"user:{user}", f"group:{group}", "all") if group else (f"user:{user}", "all")
    return scopes if use_case is None else (*scopes, use_case_scope(use_case))


def use_case_scope(use_case: str) -> str:
    return f"use_case:{use_case}"


@lru_cache(maxsize=4096)
def refusal_order(quota: Quota) -> tuple[int, int, int, str, int]:
    """Sort refusals: by kind, then the longest window, then user, group, all, then the lowest amount."""
    length = 0 if quota.kind == "concurrency" else -length_ms(quota.window)
    scope = _SCOPE_ORDER[quota.scope.partition(":")[0]]
    return _KIND_ORDER[quota.kind], length, scope, quota.scope, quota.amount


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
        self._accounts: dict[str, Account] = {}
        self._accounts_of: dict[tuple[str, ...], tuple[Account, ...]] = {}
        self._open: dict[object, Reservation] = {}
        self._kept: set[str] = set()  # scopes of use cases: those whose totals are kept
        self._counted: dict[str, set[Any]] = {}  # of a scope whose past is being read: what was let in meanwhile
        self._fold_due_ms = 0

    # The journey of a request

    def check_and_reserve(
        self,
        request_id: object,
        scopes: tuple[str, ...],
        now_ms: int,
        amounts: Amounts,
        quotas: Sequence[Quota],
    ) -> Admitted | Refused:
        """Admit a request and reserve its amounts in all scopes, or refuse it and change nothing.

        Raises QuotaError for a request that is already open.
        """
        if request_id in self._open:
            raise QuotaError(f"request {request_id} is already open")
        if amounts.cost_pusd < 0 or amounts.tokens < 0:
            raise ValueError("a reservation is not below 0")
        if now_ms >= self._fold_due_ms:
            self._fold(now_ms)
        if quotas and (refusals := self._refusals(now_ms, amounts, quotas, new=True)):
            return _told(refusals)
        return self._reserve(request_id, scopes, now_ms, amounts, running=True)

    def refused(self, now_ms: int, amounts: Amounts, quotas: Sequence[Quota]) -> Refused | None:
        """Return which limit would refuse a request, if any; nothing is changed."""
        refusals = self._refusals(now_ms, amounts, quotas, new=True)
        return _told(refusals) if refusals else None

    def extend(self, request_id: object, more: Amounts, quotas: Sequence[Quota]) -> Admitted | Refused:
        """Reserve more for an open request, in its own windows, before an attempt after one that may be billed."""
        held = self._held(request_id)
        more = more._replace(requests=0)
        refusals = self._refusals(held.started_ms, more, quotas, new=False)
        if refusals:
            return _told(refusals)
        self._hold_more(held, more.cost_pusd, more.tokens)
        return held

    def note_excess(self, request_id: object, cost_pusd: int, tokens: int = 0) -> None:
        """Raise what a request holds, past any limit: it cost more and its row is not yet written."""
        if cost_pusd < 0 or tokens < 0:
            raise ValueError("an excess is not below 0")
        self._hold_more(self._held(request_id), cost_pusd, tokens)

    def take_back(self, request_id: object, more: Amounts) -> None:
        """Undo an extension that never came into force."""
        held = self._held(request_id)
        if more.cost_pusd > held.cost_pusd or more.tokens > held.tokens:
            raise ValueError("more is taken back than is held")
        self._hold_more(held, -more.cost_pusd, -more.tokens)

    def held_pusd(self, request_id: object) -> int:
        """Return what an open request holds."""
        return self._held(request_id).cost_pusd

    def settle(self, request_id: object, cost_pusd: int, tokens: int) -> None:
        """End a request with its cost, even above what it held. Call it once the row is on disk."""
        if cost_pusd < 0 or tokens < 0:
            raise ValueError("a settlement is not below 0")
        held = self._end(request_id)
        for account in held.accounts:
            account.end(held, cost_pusd, tokens, held.requests, self.zone)

    def release(self, request_id: object, *, counts: bool = True) -> None:
        """End a request that was certainly not billed; counts=False: its row was never written either."""
        held = self._end(request_id)
        for account in held.accounts:
            account.end(held, 0, 0, held.requests if counts else 0, self.zone)

    def stop_running(self, request_id: object) -> None:
        """Stop counting a request as concurrent, though its cost is not known yet."""
        held = self._held(request_id)
        if held.running:
            held.running = False
            for account in held.accounts:
                account.running -= 1

    # What limits say

    def headroom_pusd(self, quotas: Iterable[Quota], now_ms: int, *, ignore_reserved: bool = False) -> int | None:
        """Return what the tightest hard cost limit leaves, at least 0; None without one.

        ignore_reserved gives what would be left if all open requests came to nothing.
        """
        least: int | None = None
        for scope, kind, amount, window, mode in quotas:
            if kind == "cost" and mode == "hard":
                span = self._account(scope).span(window, self.zone, now_ms)
                left = amount - span.settled[COST] - (0 if ignore_reserved else span.reserved[COST])
                least = left if least is None or left < least else least
        return None if least is None else max(least, 0)

    def limits_view(self, quotas: Iterable[Quota], now_ms: int) -> list[LimitRow]:
        """Return a row for each quota, in their fixed order."""
        rows = []
        for quota in sorted(quotas, key=refusal_order):
            scope, kind, amount, window, mode = quota
            account = self._account(scope)
            used, reserved, resets = 0, account.running, None
            if kind != "concurrency":
                span = account.span(window, self.zone, now_ms)
                index = KINDS[kind]
                used, reserved = span.settled[index], span.reserved[index]
                resets = _resets_at_ms(account, window, span)
            left = amount - used - reserved
            rows.append(LimitRow(scope, kind, window, mode, amount, used, reserved, max(0, left), resets))
        return rows

    def open_requests(self) -> dict[object, Reservation]:
        """Return what is open, by request."""
        return dict(self._open)

    def open_ids(self) -> KeysView[Any]:
        """Return the ids of all that is open, as a view."""
        return self._open.keys()

    def open_in(self, scope: str) -> int:
        """Count what is open in a scope."""
        return len(self._account(scope).open)

    # Rebuilding

    def load_hours(self, rows: Iterable[SettledRow]) -> None:
        """Add hours of the roll-up; what fine_rows covers must come through load_rows instead."""
        for row in rows:
            for account in self._accounts_for(scopes_of(row.user, row.group)):
                account.settle_hour(row.at_ms, row.cost_pusd, row.tokens, row.requests)

    def load_rows(self, rows: Iterable[SettledRow]) -> None:
        """Add settled requests (or sums of one minute) at the instant they began."""
        for row in rows:
            for account in self._accounts_for(scopes_of(row.user, row.group)):
                account.settle(row.at_ms, row.cost_pusd, row.tokens, row.requests, self.zone)

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

    def open_scope(self, scope: str) -> set[Any]:
        """Start keeping the totals of a use case; load_past() must follow, or close_scope().

        Return the requests that are let in until then, as a set that grows: they are not part of the past.
        """
        self._accounts[scope] = Account(scope)
        self._accounts_of.clear()
        self._kept.add(scope)
        counted = self._counted[scope] = set()
        return counted

    def close_scope(self, scope: str) -> None:
        """Stop keeping the totals of a use case: its past could not be read."""
        self._kept.discard(scope)
        self._counted.pop(scope, None)

    def load_past(self, scope: str, hours: Iterable[SettledRow], rows: Iterable[SettledRow]) -> None:
        """Add what was booked under a use case before its totals were kept."""
        self._counted.pop(scope, None)
        account = self._accounts[scope]
        for row in hours:
            account.settle_hour(row.at_ms, row.cost_pusd, row.tokens, row.requests)
        for row in rows:
            account.settle(row.at_ms, row.cost_pusd, row.tokens, row.requests, self.zone)

    def load_open(
        self, request_id: object, scopes: tuple[str, ...], started_ms: int, cost_pusd: int, tokens: int
    ) -> None:
        """Add a reservation that a crash left open: it counts in full, but no longer as concurrent."""
        if request_id in self._open:
            raise QuotaError(f"request {request_id} is already open")
        self._reserve(request_id, scopes, started_ms, Amounts(cost_pusd, tokens), running=False)

    def audit(self) -> list[str]:
        """Sum every span in use anew and name each that differs from what was kept.

        A minute or hour that ended so long ago that its minutes were folded cannot be summed anew, and is left out.
        """
        faults = []
        for account in self._accounts.values():
            for window, span in account.spans.items():
                if window in ("minute", "hour") and span.start_ms < account.folded_ms:
                    continue
                probe_ms = span.until_ms - 1 if window != TOTAL else 0
                fresh = account.summed(window_at(window, self.zone, probe_ms))
                if (fresh.settled, fresh.reserved) != (span.settled, span.reserved):
                    faults.append(
                        f"{account.scope} {window}: kept {span.settled} and {span.reserved} reserved, "
                        f"rows say {fresh.settled} and {fresh.reserved}"
                    )
        return faults

    # Inside

    def _account(self, scope: str) -> Account:
        account = self._accounts.get(scope)
        if account is None:
            account = self._accounts[scope] = Account(scope)
        return account

    def _accounts_for(self, scopes: tuple[str, ...]) -> tuple[Account, ...]:
        accounts = self._accounts_of.get(scopes)
        if accounts is None:
            accounts = self._accounts_of[scopes] = tuple(self._account(scope) for scope in scopes)
        return accounts

    def _held(self, request_id: object) -> Reservation:
        held = self._open.get(request_id)
        if held is None:
            raise QuotaError(f"request {request_id} is not open: it ended before, or never began")
        return held

    def _end(self, request_id: object) -> Reservation:
        held = self._open.pop(request_id, None)
        if held is None:
            raise QuotaError(f"request {request_id} is not open: it ended before, or never began")
        return held

    def _reserve(
        self, request_id: object, scopes: tuple[str, ...], started_ms: int, amounts: Amounts, *, running: bool
    ) -> Reservation:
        accounts = self._accounts_for(scopes)
        held = Reservation(
            request_id, accounts, started_ms, amounts.cost_pusd, amounts.tokens, amounts.requests, running
        )
        self._open[request_id] = held
        for account in accounts:
            account.reserve(held)
        if self._counted:
            for scope in scopes:
                if scope in self._counted:
                    self._counted[scope].add(request_id)
        return held

    def _hold_more(self, held: Reservation, cost_pusd: int, tokens: int) -> None:
        held.cost_pusd += cost_pusd
        held.tokens += tokens
        for account in held.accounts:
            account.hold(held.started_ms, cost_pusd, tokens, 0)

    def _fold(self, now_ms: int) -> None:
        self._fold_due_ms = now_ms - now_ms % HOUR_MS + HOUR_MS
        for account in self._accounts.values():
            account.fold(now_ms, self.zone, self._horizon_ms)

    def _refusals(self, at_ms: int, amounts: Amounts, quotas: Sequence[Quota], *, new: bool) -> list[Refused]:
        refusals = []
        zone = self.zone
        for quota in quotas:
            scope, kind, amount, window, mode = quota
            account = self._account(scope)
            if kind == "concurrency":
                if new and account.running >= amount:
                    refusals.append(Refused(quota, 0, account.running, 1, None, only_reservations_in_way=True))
                continue
            index = KINDS[kind]
            needed = amounts[index]
            if not needed and (index != COST or amounts.is_priced):
                continue  # what costs nothing passes also when everything is spent
            if index == COST and not amounts.is_priced and mode == "hard":
                raise QuotaError("a request without a price under a hard cost limit must be refused before this")
            span = account.span(window, zone, at_ms)
            used, reserved = span.settled[index], span.reserved[index]
            if mode == "hard" or index == REQUESTS:
                if used + reserved + needed <= amount:
                    continue
                waiting_helps = index != REQUESTS and used + needed <= amount
            else:
                needed = amounts.estimate_pusd if index == COST else amounts.estimate_tokens
                if used + needed < amount:
                    continue
                waiting_helps = False
            resets = _resets_at_ms(account, window, span)
            refusals.append(Refused(quota, used, reserved, needed, resets, waiting_helps))
        return refusals


def _resets_at_ms(account: Account, window: str, span: Span) -> int | None:
    """Return when a window ends; for a rolling one, when its oldest hour drops out."""
    hours = rolling_hours(window)
    if hours is None:
        return None if window == TOTAL else span.until_ms
    oldest_ms = account.oldest_hour_ms(span)
    return None if oldest_ms is None else oldest_ms + (hours + 1) * HOUR_MS


def _told(refusals: list[Refused]) -> Refused:
    """Choose the one to tell: first those that waiting does not cure, then by refusal_order."""
    return min(refusals, key=lambda refused: (refused.only_reservations_in_way, refusal_order(refused.quota)))
