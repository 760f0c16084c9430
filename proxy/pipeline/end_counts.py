"""What ended requests came to since the start, for /metrics: integers, counted many requests at once.

Names of models and users come from callers, so that the sets of names with figures of their own are bounded; all
others are counted together as ``other``, and none is left out.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from operator import add
from typing import Any, Final, NamedTuple

from proxy.core.counts import Counts
from proxy.pipeline.durations import BOUNDS_MS, NO_DURATIONS, NO_OWN_TIME, OWN_SECONDS, Durations
from proxy.storage.rows import RequestEnd, of_end

OTHER: Final = "other"
"""The name that stands for all names without figures of their own."""

CLASSES: Final = (
    *("input", "output", "cached", "reasoning"),
    *(name.removesuffix("_tokens") for name in Counts._fields),
)
"""What answers report, in the order of UsageSums.tokens."""

Place = tuple[str, str, str]
"""Provider, model and user; "" where there is none, and for the user where users are not named."""

KnowsModel = Callable[[str, str], bool]
"""Return whether a provider offers a model, by its list."""

_MAIN = 4  # classes that have columns of their own
_NO_TOKENS = (0,) * len(CLASSES)
_status, _flags = of_end("status"), of_end("flags")
_place = of_end("provider", "model", "user")
_read = of_end(
    *("status", "cost_pusd", "cost_source", "counts", "duration_ms", "ttft_ms"),
    *(f"{name}_tokens" for name in CLASSES[:_MAIN]),
)


class UsageSums(NamedTuple):
    """What requests of one place came to. failures: those that were not answered with 2xx."""

    requests: int = 0
    failures: int = 0
    cost_pusd: int = 0
    tokens: tuple[int, ...] = _NO_TOKENS

    def plus(self, other: "UsageSums") -> "UsageSums":
        """Return both together."""
        return UsageSums(
            self.requests + other.requests,
            self.failures + other.failures,
            self.cost_pusd + other.cost_pusd,
            tuple(map(add, self.tokens, other.tokens)),
        )


_NO_USAGE: Final = UsageSums()
_is_answer = frozenset(range(200, 300)).__contains__


class EndCounts:
    """The counts of ended requests.

    requests by status; doubts: rows by flag; usage by place; cost_pusd by source of the cost. durations, and
    first_tokens for the time to the first content, of answers with 2xx, by provider and model. own_time: what the proxy
    itself took, in seconds. The values are replaced and never changed: a copy of a mapping is a copy of all.
    """

    __slots__ = (
        "_knows_model",
        "_names_max",
        "_names_users",
        "cost_pusd",
        "doubts",
        "durations",
        "first_tokens",
        "own_time",
        "requests",
        "usage",
    )

    def __init__(self, knows_model: KnowsModel) -> None:
        self._knows_model = knows_model
        self._names_max = 0
        self._names_users = False
        self.doubts: MutableMapping[str, int] = defaultdict(int)
        self.requests: MutableMapping[int, int] = defaultdict(int)
        self.cost_pusd: MutableMapping[str, int] = defaultdict(int)
        self.usage: dict[Place, UsageSums] = {}
        self.durations: dict[tuple[str, str], Durations] = {}
        self.first_tokens: dict[tuple[str, str], Durations] = {}
        self.own_time = NO_OWN_TIME

    def bound(self, names_max: int, *, names_users: bool) -> None:
        """Set how many places have figures of their own, and whether users are named; those there are follow it."""
        self._names_max, self._names_users = names_max, names_users
        usage, self.usage = self.usage, {}
        for (provider, model, user), sums in usage.items():
            place = self._place_in(self.usage, provider, model, user)
            self.usage[place] = self.usage.get(place, _NO_USAGE).plus(sums)
        self.durations, self.first_tokens = self._refolded(self.durations), self._refolded(self.first_tokens)

    def count_requests(self, ends: Sequence[RequestEnd]) -> None:
        """Count requests that have ended, whether their cost is known or not."""
        for status, number in Counter(map(_status, ends)).items():
            self.requests[status] += number
        for flags in filter(None, map(_flags, ends)):
            for flag in flags.split():
                self.doubts[flag] += 1

    def count_usage(self, ends: Sequence[RequestEnd], *, are_new: bool = True) -> None:
        """Count what requests came to whose rows say so for good. are_new False: they were counted as pending."""
        names = [*map(_place, ends)]
        if len(set(names)) == 1:  # as often, and then the rows need no sorting out
            self._count_alike(names[0], [*map(_read, ends)], are_new=are_new)
            return
        by_place: defaultdict[tuple[str | None, ...], list[tuple[Any, ...]]] = defaultdict(list)
        for place, row in zip(names, map(_read, ends), strict=True):
            by_place[place].append(row)
        for place, rows in by_place.items():
            self._count_alike(place, rows, are_new=are_new)

    def _count_alike(self, names: tuple[str | None, ...], rows: list[tuple[Any, ...]], *, are_new: bool) -> None:
        """Count the rows of one provider, model and user."""
        statuses, costs, sources, counts, whole_ms, first_ms, *tokens = zip(*rows, strict=True)
        answered = sum(map(_is_answer, statuses))
        place = self._place_of(*(name or "" for name in names), is_real=answered > 0)
        sums = UsageSums(
            len(rows) if are_new else 0,
            len(rows) - answered if are_new else 0,
            sum(filter(None, costs)),
            (*(sum(filter(None, column)) for column in tokens), *_rarer(counts)),
        )
        self.usage[place] = self.usage.get(place, _NO_USAGE).plus(sums)
        if len(set(sources)) == 1:
            self.cost_pusd[sources[0]] += sums.cost_pusd
        else:
            for source, cost_pusd in zip(sources, costs, strict=True):
                self.cost_pusd[source] += cost_pusd or 0
        if answered and are_new:
            if answered < len(rows) or None in whole_ms or None in first_ms:
                self._count_durations(place, *_answers(statuses, whole_ms, first_ms))
            else:
                self._count_durations(place, whole_ms, first_ms)

    def count_pending(self, ends: Iterable[RequestEnd]) -> None:
        """Count requests whose cost is still looked up: what they came to is counted once it is known."""
        for end in ends:
            is_answered = _is_answer(end.status)
            place = self._place_of(end.provider or "", end.model or "", end.user, is_real=is_answered)
            self.usage[place] = self.usage.get(place, _NO_USAGE).plus(UsageSums(1, int(not is_answered)))
            self._count_durations(place, *_answers((end.status,), (end.duration_ms,), (end.ttft_ms,)))

    def count_own_time(self, values_s: Iterable[float]) -> None:
        """Count what the proxy itself took of requests, in seconds each."""
        self.own_time = self.own_time.plus(OWN_SECONDS, values_s)

    def named_model(self, provider: str, model: str) -> str:
        """Return the name that a model is counted by: its own where it is listed or has answered."""
        is_own = self._knows_model(provider, model) or (provider, model) in self.durations
        return model if is_own else OTHER

    def _count_durations(self, place: Place, whole_ms: Sequence[int], first_ms: Sequence[int]) -> None:
        provider, model, _ = place
        for counted, values in ((self.durations, whole_ms), (self.first_tokens, first_ms)):
            if values:
                of = (provider, model)
                if of not in counted and len(counted) >= self._names_max:
                    of = (provider, OTHER)
                counted[of] = counted.get(of, NO_DURATIONS).plus(BOUNDS_MS, values)

    def _refolded(self, counted: Mapping[tuple[str, str], Durations]) -> dict[tuple[str, str], Durations]:
        found: dict[tuple[str, str], Durations] = {}
        for (provider, model), durations in counted.items():
            of = (provider, model) if len(found) < self._names_max else (provider, OTHER)
            found[of] = found.get(of, NO_DURATIONS).joined(durations)
        return found

    def _place_of(self, provider: str, model: str, user: str, *, is_real: bool) -> Place:
        """Return where a request is counted; is_real: a model with this name has answered."""
        if not self._names_users:
            user = ""
        place = (provider, model, user)
        if place in self.usage:
            return place
        if model and not is_real:
            model = self.named_model(provider, model)
        return self._place_in(self.usage, provider, model, user)

    def _place_in(self, usage: Mapping[Place, UsageSums], provider: str, model: str, user: str) -> Place:
        """Return a place that is there or for which there is room; else that of all others at its provider."""
        if not self._names_users:
            user = ""
        place = (provider, model, user)
        if place in usage or len(usage) < self._names_max:
            return place
        return (provider, OTHER, OTHER if self._names_users else "")


def _answers(
    statuses: Iterable[int], whole_ms: Iterable[int | None], first_ms: Iterable[int | None]
) -> tuple[list[int], list[int]]:
    """Return how long answers with 2xx took, and how long to their first content, where it is known."""
    whole, first = [], []
    for status, whole_1, first_1 in zip(statuses, whole_ms, first_ms, strict=True):
        if _is_answer(status) and whole_1 is not None:
            whole.append(whole_1)
            if first_1 is not None:
                first.append(first_1)
    return whole, first


def _rarer(counts: Iterable[Counts | None]) -> tuple[int, ...]:
    """Return the sums of what few answers report."""
    found = [*filter(None, counts)]
    return tuple(map(sum, zip(*found, strict=True))) if found else _NO_TOKENS[_MAIN:]
