"""Counts since the start, for /metrics: plain integers, so that counting costs a request next to nothing."""

from collections import defaultdict
from collections.abc import Callable, MutableMapping, Sequence
from operator import itemgetter

from proxy.pipeline.end_counts import OTHER, EndCounts, KnowsModel
from proxy.pipeline.values.finished import RequestFinished, RequestRefused
from proxy.storage.adjustment import Booked
from proxy.storage.rows import RequestEnd, of_end

_EVENTS_AT_ONCE = 128
NAMES_MAX = 500  # sets of names with figures of their own, where nobody says

EndsListener = Callable[[Sequence[RequestEnd]], None]
Target = tuple[str, str]
"""A provider and a model of it."""


_end, _is_written, _own_s = (itemgetter(RequestFinished._fields.index(name)) for name in ("end", "is_written", "own_s"))
_state = of_end("state")


def _is_booked(event: RequestFinished) -> bool:
    """Return whether the row says for good what a request came to."""
    return event.is_written and event.end.state != "pending"


def _knows_none(_provider: str, _model: str) -> bool:
    return False


class Counters:
    """A subscriber that counts. Events are kept and counted many at once: one alone takes several times as long.

    attempts by (provider, outcome); refusals, which leave no row, by (status, code), and those by a limit by (scope,
    kind, window) as well; fallbacks by (target that failed, target that followed, case). outcome and case are words of
    ours; names of models and users are bounded as EndCounts bounds them.
    """

    __slots__ = (
        "_counts",
        "_events",
        "_names_max",
        "_names_users",
        "adjusted_pusd",
        "adjustments",
        "attempts",
        "fallbacks",
        "limit_refusals",
        "listener",
        "over_pusd",
        "over_requests",
        "refusals",
        "retries",
        "set_asides",
    )

    def __init__(self, knows_model: KnowsModel = _knows_none) -> None:
        self._counts = EndCounts(knows_model)
        self._names_max, self._names_users = 0, False
        self._events: list[RequestFinished] = []
        self.listener: EndsListener | None = None  # hears of the same ends, as many at once
        self.adjustments: MutableMapping[str, int] = defaultdict(int)  # late costs, by direction: up, down
        self.adjusted_pusd: MutableMapping[str, int] = defaultdict(int)  # and by how much, in all; above 0
        self.over_requests = 0  # that cost more than was reserved
        self.over_pusd = 0  # and by how much, in all
        self.refusals: MutableMapping[tuple[int, str], int] = defaultdict(int)
        self.limit_refusals: MutableMapping[tuple[str, str, str], int] = defaultdict(int)
        self.attempts: MutableMapping[tuple[str, str], int] = defaultdict(int)
        self.set_asides: MutableMapping[tuple[str, str, str], int] = defaultdict(int)  # provider, key, case
        self.retries: MutableMapping[str, int] = defaultdict(int)  # provider
        self.fallbacks: MutableMapping[tuple[Target, Target, str], int] = defaultdict(int)
        self.bound(NAMES_MAX, names_users=False)

    def bound(self, names_max: int, *, names_users: bool) -> None:
        """Set how many sets of names have figures of their own, and whether users are named."""
        if (names_max, names_users) == (self._names_max, self._names_users):
            return  # each change of users makes the configuration anew
        self._names_max, self._names_users = names_max, names_users
        self.ended().bound(names_max, names_users=names_users)
        limit_refusals, self.limit_refusals = self.limit_refusals, defaultdict(int)
        for limit, count in limit_refusals.items():
            self.limit_refusals[self._limit_for(*limit)] += count
        fallbacks, self.fallbacks = self.fallbacks, defaultdict(int)
        for place, count in fallbacks.items():
            self.fallbacks[self._room_for(place)] += count

    def finished(self, event: RequestFinished) -> None:
        """Count a request that has a row."""
        self._events.append(event)
        if len(self._events) >= _EVENTS_AT_ONCE:
            self.ended()

    def ended(self) -> EndCounts:
        """Return the counts of all requests that have ended."""
        events, self._events = self._events, []
        if not events:
            return self._counts
        counts, ends = self._counts, [*map(_end, events)]
        counts.count_requests(ends)
        if self.listener is not None:
            self.listener(ends)
        if "pending" in map(_state, ends) or not all(map(_is_written, events)):
            counts.count_pending(end for end, event in zip(ends, events, strict=True) if not _is_booked(event))
            ends = [event.end for event in events if _is_booked(event)]
        if ends:
            counts.count_usage(ends)
        counts.count_own_time([own_s for own_s in map(_own_s, events) if own_s is not None])
        return self._counts

    def seen(self) -> tuple[int, int]:
        """Return two numbers that differ whenever a request has ended; none is added up for them."""
        return sum(self._counts.requests.values()), len(self._events)

    def settled(self, end: RequestEnd, *, was_pending: bool) -> None:
        """Count what a request came to whose row was pending, or was left open by a crash."""
        counts = self.ended()
        if not was_pending:
            counts.count_requests([end])
        counts.count_usage([end], are_new=not was_pending)

    def fell_back(self, failed: Target, following: Target, case: str) -> None:
        """Count that a request went on at another target. case: why, a row of the table of failures."""
        self.fallbacks[self._room_for((self._named(failed), self._named(following), case))] += 1

    def _named(self, target: Target) -> Target:
        provider, model = target
        return provider, self._counts.named_model(provider, model)

    def _room_for(self, place: tuple[Target, Target, str]) -> tuple[Target, Target, str]:
        if place in self.fallbacks or len(self.fallbacks) < self._names_max:
            return place
        (failed, _), (following, _), case = place
        return (failed, OTHER), (following, OTHER), case

    def refused(self, event: RequestRefused) -> None:
        """Count a request without a row; what a provider is to blame for is counted with the attempts."""
        if event.fault != "provider":
            self.refusals[event.status, event.code] += 1
            if event.limit is not None:
                self.limit_refusals[self._limit_for(*event.limit[:3])] += 1

    def _limit_for(self, scope: str, kind: str, window: str) -> tuple[str, str, str]:
        """Return the limit that a refusal is counted by: of a user "user" alone where users are not named."""
        of, mark, _ = scope.partition(":")
        place = (of if of == "user" and not self._names_users else scope, kind, window)
        has_room = place in self.limit_refusals or len(self.limit_refusals) < self._names_max
        return place if has_room or not mark else (f"{of}:{OTHER}", kind, window)

    def adjusted(self, event: Booked) -> None:
        """Count a cost that became known late."""
        direction = "up" if event.amount_pusd > 0 else "down"
        self.adjustments[direction] += 1
        self.adjusted_pusd[direction] += abs(event.amount_pusd)
