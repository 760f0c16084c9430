"""The windows that a user's limits are held against, found once for a request instead of once for each question.

The totals in them are those that the book keeps up to date, so that what is read here is true until the first of the
windows ends or another takes its place in the book, which then forgets these.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from proxy.core.limit_kinds import BY_NAME, COST, INDEX, REQUESTS, TOKENS
from proxy.policy.quota.quota import Amounts, LimitExceeded, LimitRow, Quota, QuotaError, Room, refusal_order
from proxy.policy.quota.scope_totals import FOREVER_MS, ScopeTotals, WindowTotals
from proxy.policy.quota.window import CALENDAR, HOUR_MS, rolling_hours

_UNBOUNDED = 1 << 127  # more than any sum comes to


class CountedLimit(Struct, eq=False):
    """A limit on what is summed up, with its window. place: of its kind in a sum.

    is_strict: what is held counts too. is_returned: as in core/limit_kinds.py. shown: what those who are told of it
    read each time, as whoever tells it keeps that.
    """

    quota: Quota
    place: int
    amount: int
    is_strict: bool
    is_returned: bool
    window: WindowTotals
    totals: ScopeTotals
    ends_ms: int | None  # of a window of the calendar
    shown: Any = None

    def resets_at_ms(self) -> int | None:
        """Return when its window ends; for a rolling one, when its oldest hour drops out; None for all time."""
        if self.ends_ms is not None:
            return self.ends_ms
        hours = rolling_hours(self.quota.window)
        if hours is None:
            return None
        oldest_ms = self.totals.oldest_hour_ms(self.window)
        return None if oldest_ms is None else oldest_ms + (hours + 1) * HOUR_MS

    def row(self) -> LimitRow:
        """Return what it says now."""
        (scope, kind, amount, window, mode, models, _), index = self.quota, self.place
        used, reserved = self.window.settled[index], self.window.reserved[index]
        left = max(0, amount - used - reserved)
        return LimitRow(scope, kind, window, mode, amount, used, reserved, left, self.resets_at_ms(), models)

    def refusal(self, needed: int, likely: int) -> LimitExceeded | None:
        """Return the refusal of a request that needs so much, or is thought to; None where it may pass."""
        index, used = self.place, self.window.settled[self.place]
        reserved = self.window.reserved[index]
        if self.is_strict:
            if used + reserved + needed <= self.amount:
                return None
            waiting_helps = self.is_returned and used + needed <= self.amount
            return LimitExceeded(self.quota, used, reserved, needed, self.resets_at_ms(), waiting_helps)
        if used + likely < self.amount:
            return None
        return LimitExceeded(self.quota, used, reserved, likely, self.resets_at_ms(), only_reservations_in_way=False)


class _Bound(NamedTuple):
    """A limit as a bound of its scope's sum. most: how far what is taken may go, with what its window leaves out."""

    taken: list[int]
    most: int
    limit: CountedLimit


_OfKind = tuple[int, list[int], int, CountedLimit, tuple[tuple[list[int], int, CountedLimit], ...]]
"""A kind by its place, with the bound of one of its scopes, and those of others that have one."""


class LimitWindows:
    """The limits of a user in the order in which refusals are told, each with the window of an instant.

    They hold for instants from from_ms on and before until_ms, as long as none of the scopes has moved: seen holds
    these, and how often each has. moves_of_all: of all scopes of the book, when that was last looked at.
    """

    __slots__ = (
        "_by_kind",
        "_checks",
        "_hard_cost",
        "_soft",
        "_strict",
        "counted",
        "from_ms",
        "moves_of_all",
        "open",
        "quotas",
        "seen",
        "until_ms",
    )

    def __init__(
        self, quotas: Sequence[Quota], found: Sequence[tuple[Quota, ScopeTotals, WindowTotals | None]]
    ) -> None:
        """Order what was found: each limit with the totals of its scope, and its window where it has one."""
        self.moves_of_all = -1
        self.quotas = quotas  # it is known in the book by its identity
        ordered = sorted(found, key=lambda one: refusal_order(one[0]))
        self.counted = [
            CountedLimit(
                quota,
                INDEX[quota.kind],
                quota.amount,
                quota.mode == "hard" or BY_NAME[quota.kind].is_exact,
                BY_NAME[quota.kind].is_returned,
                window,
                totals,
                window.until_ms if quota.window in CALENDAR else None,
            )
            for quota, totals, window in ordered
            if window is not None
        ]
        self.open = [(quota, totals) for quota, totals, window in ordered if window is None]
        self.from_ms = max((limit.window.from_ms for limit in self.counted), default=0)
        self.until_ms = min((limit.window.until_ms for limit in self.counted), default=FOREVER_MS)
        self.seen = [
            (totals, totals.moves) for totals in {id(limit.totals): limit.totals for limit in self.counted}.values()
        ]
        bounds = [
            _Bound(limit.totals.taken, limit.amount + limit.window.taken_outside[limit.place], limit)
            for limit in self.counted
        ]
        self._checks = [(limit.place, most, limit.is_strict, taken, limit) for taken, most, limit in bounds]
        hard_cost = [bound for bound in bounds if bound.limit.place == COST and bound.limit.quota.mode == "hard"]
        self._hard_cost = [(taken, most) for taken, most, _ in _least(hard_cost)]
        self._soft = [
            (place, taken, most, limit) for place, most, is_strict, taken, limit in self._checks if not is_strict
        ]
        self._strict = _strict(bounds)
        places = dict.fromkeys(limit.place for limit in self.counted)
        self._by_kind = [_of_kind(place, bounds) for place in places]

    def headroom_pusd(self, ignore_reserved: bool) -> int | None:
        """Return what the tightest hard cost limit leaves, at least 0; None without one."""
        hard = self._hard_cost
        if not hard:
            return None
        if ignore_reserved:
            costs = [limit for limit in self.counted if limit.place == COST and limit.quota.mode == "hard"]
            return max(min([limit.amount - limit.window.settled[COST] for limit in costs]), 0)
        least = -1
        for taken, most in hard:
            left = most - taken[COST]
            if left <= 0:
                return 0
            if left < least or least < 0:
                least = left
        return least

    def leave(self, room: Room) -> bool:
        """Return whether each limit leaves so much, and a request. Those on what few requests take are not asked."""
        cost_pusd, tokens, _, _ = room
        for taken, most_pusd, most_tokens, most_requests in self._strict:
            if (
                taken[COST] + cost_pusd > most_pusd
                or taken[REQUESTS] >= most_requests
                or taken[TOKENS] + tokens > most_tokens
            ):
                return False
        for place, taken, most, limit in self._soft:
            likely = room[place + 2]  # what is held counts for no soft limit: only where it might matter is it left out
            if taken[place] + likely >= most and limit.window.settled[place] + likely >= limit.amount:
                return False
        for quota, totals in self.open:  # noqa: SIM110 - all() would take three times as long
            if totals.running >= quota.amount:
                return False
        return True

    def refusals(self, amounts: Amounts, new: bool) -> list[LimitExceeded]:
        """Return each limit that a request does not fit into. new=False: it is open already, and asks for more."""
        refusals = []
        if new:
            for quota, totals in self.open:
                if totals.running >= quota.amount:
                    refusals.append(LimitExceeded(quota, 0, totals.running, 1, None, only_reservations_in_way=True))
        cost_pusd, tokens, requests, _, _, is_priced, pieces = amounts
        counted = (cost_pusd, tokens, requests, *pieces)  # as amounts.counted, which takes longer to ask
        for place, most, is_strict, taken, limit in self._checks:
            needed = counted[place]
            if place == COST and not is_priced:
                if limit.quota.mode == "hard":
                    raise QuotaError("a request without a price under a hard cost limit must be refused before this")
            elif not needed:
                continue  # what costs nothing passes also when everything is spent
            elif is_strict and taken[place] + needed <= most:
                continue  # nearly always
            refused = limit.refusal(needed, amounts.likely[place])
            if refused is not None:
                refusals.append(refused)
        return refusals

    def rows(self) -> list[LimitRow]:
        """Return a row for each limit, in order."""
        found = [limit.row() for limit in self.counted]
        for quota, totals in self.open:
            scope, kind, amount, window, mode, models, _ = quota
            running = totals.running
            left = max(0, amount - running)
            found.append(LimitRow(scope, kind, window, mode, amount, 0, running, left, None, models))
        return found

    def tightest(self) -> list[tuple[CountedLimit, int]]:
        """Return of each kind that is summed up the limit that leaves least, the first of several, and what is left."""
        found = []
        for place, taken, most, limit, others in self._by_kind:
            least, tightest = most - taken[place], limit
            if others:
                for another, bound, other in others:
                    left = bound - another[place]
                    if left < least:
                        least, tightest = left, other
            found.append((tightest, least) if least > 0 else (self._first_spent(place), 0))
        return found

    def _first_spent(self, place: int) -> CountedLimit:
        """Return the first limit of a kind, in order, that leaves nothing."""
        return next(
            limit for of_kind, most, _, taken, limit in self._checks if of_kind == place and most - taken[place] <= 0
        )


def _of_kind(place: int, bounds: Sequence[_Bound]) -> _OfKind:
    """Return the bounds of one kind: plain tuples, which are unpacked in a fifth of the time."""
    first, *others = _least([bound for bound in bounds if bound.limit.place == place])
    return place, first.taken, first.most, first.limit, tuple((*bound,) for bound in others)


def _strict(bounds: Sequence[_Bound]) -> list[tuple[list[int], int, int, int]]:
    """Return of each scope how far its sum of cost, of tokens and of requests may go, by the limits that are strict."""
    found: dict[int, tuple[list[int], list[int]]] = {}
    for taken, most, limit in bounds:
        if limit.is_strict and limit.place <= REQUESTS:
            _, least = found.setdefault(id(taken), (taken, [_UNBOUNDED] * (REQUESTS + 1)))
            least[limit.place] = min(least[limit.place], most)
    return [(taken, least[COST], least[TOKENS], least[REQUESTS]) for taken, least in found.values()]


def _least(bounds: Sequence[_Bound]) -> list[_Bound]:
    """Return of each scope the bound that is reached first: all of one kind. In the order of the limits."""
    found: dict[int, _Bound] = {}
    for bound in bounds:
        before = found.get(id(bound.taken))
        if before is None or bound.most < before.most:
            found[id(bound.taken)] = bound
    kept = {id(bound) for bound in found.values()}
    return [bound for bound in bounds if id(bound) in kept]
