"""Which call on the bill is which request that never learnt its generation id: a client that hung up before it came."""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

EARLY_MS: Final = 5_000  # by how much the provider's clock may be behind ours, and the second that an id is cut to
LATE_MS: Final = 5_000  # how long after our end the provider may still make an id for what it was sent
LONG_MS: Final = 900_000  # a request that a crash cut off has no end of its own
_CROWD: Final = 200  # so many calls at a time are told apart by nothing that is known of them


class UnnamedRequest(NamedTuple):
    """The attempts of a request that went with one key to one model, and whose generation ids are not known.

    ended_ms None: nobody knows when it ended. session "": it named none. calls: how many such attempts there are. A
    request that went to several models comes several times.
    """

    id: int
    key_hash: str
    model: str
    started_ms: int
    ended_ms: int | None
    session: str = ""
    calls: int = 1


class UnclaimedCall(Struct, frozen=True):
    """A call on the bill that no row of the ledger names. model, session "": not known."""

    generation_id: str
    key_hash: str
    model: str
    created_ms: int
    session: str = ""


class CallMatches(Struct, frozen=True):
    """pairs: the request of each call by generation id. In doubt: what may belong together, but nobody can tell."""

    pairs: Mapping[str, int]
    doubtful_calls: frozenset[str]
    doubtful_requests: frozenset[int]


def match_calls(requests: Iterable[UnnamedRequest], calls: Iterable[UnclaimedCall]) -> CallMatches:
    """Match calls with the requests that went out with the same key for the same model and were under way then.

    Where call and request name a session, it is the same one.

    Where several compete, calls go to requests in the order of their times, for then the sum is right; but only where
    each call finds one, for else one of them was none of ours, and nobody knows which.
    """
    by_key: defaultdict[str, list[UnclaimedCall]] = defaultdict(list)
    for call in sorted(calls, key=lambda one: (one.created_ms, one.generation_id)):
        by_key[call.key_hash].append(call)
    by_place = dict(enumerate(requests))
    partners = {place: _partners(request, by_key[request.key_hash]) for place, request in by_place.items()}
    moments = {call.generation_id: call.created_ms for own in by_key.values() for call in own}
    pairs: dict[str, int] = {}
    doubtful_calls, doubtful_requests = set[str](), set[int]()
    for group in _groups(partners):
        wanted = {id_: group[id_] for id_ in sorted(group, key=lambda one: (len(group[one]) > 1, moments[one], one))}
        found = None if len(wanted) > _CROWD else _in_order(wanted, by_place)
        if found is None:
            doubtful_calls |= wanted.keys()
            doubtful_requests.update(by_place[place].id for places in wanted.values() for place in places)
        else:
            pairs |= {generation_id: by_place[place].id for generation_id, place in found.items()}
    return CallMatches(pairs, frozenset(doubtful_calls), frozenset(doubtful_requests))


def _partners(request: UnnamedRequest, calls: Sequence[UnclaimedCall]) -> Sequence[str]:
    """Return the ids of the calls that a request may be, by time, model and session.

    A name may stand for another model, an alias or a router: then the session alone says that it is the same one.
    """
    last_ms = request.started_ms + LONG_MS
    if request.ended_ms is not None:
        last_ms = min(last_ms, request.ended_ms)
    first = bisect_left(calls, request.started_ms - EARLY_MS, key=_created_ms)
    end = bisect_right(calls, last_ms + LATE_MS, key=_created_ms)
    near = [
        call for call in calls[first:end] if not call.session or not request.session or call.session == request.session
    ]
    found = [
        call for call in near if not call.model or not request.model or _same_model(request.model, call.model)
    ] or [call for call in near if call.session and call.session == request.session]
    return [call.generation_id for call in found]


def _created_ms(call: UnclaimedCall) -> int:
    return call.created_ms


def _same_model(asked: str, billed: str) -> bool:
    """Return whether a name may be that of the model as it was asked for: a variant or a dated name of it, or it."""
    one, other = asked.partition(":")[0], billed.partition(":")[0]
    return one == other or other.startswith(f"{one}-") or one.startswith(f"{other}-")


def _groups(partners: Mapping[int, Sequence[str]]) -> Iterator[dict[str, list[int]]]:
    """Yield the calls that requests compete for, each with the places of the requests that it may be."""
    wanted: defaultdict[str, list[int]] = defaultdict(list)
    for place, generation_ids in partners.items():
        for generation_id in generation_ids:
            wanted[generation_id].append(place)
    seen = set[int]()
    for first in partners:
        if first in seen:
            continue
        found, left = dict[str, list[int]](), [first]
        seen.add(first)
        while left:
            for generation_id in partners[left.pop()]:
                if generation_id not in found:
                    found[generation_id] = wanted[generation_id]
                    left.extend(place for place in wanted[generation_id] if place not in seen)
                    seen.update(wanted[generation_id])
        if found:
            yield found


def _in_order(wanted: Mapping[str, Sequence[int]], by_place: Mapping[int, UnnamedRequest]) -> dict[str, int] | None:
    """Return a place for each call: of the request that ends first of those left; None where one call gets none."""
    found: dict[str, int] = {}
    taken = Counter[int]()
    for generation_id, places in wanted.items():
        free = [place for place in places if taken[place] < by_place[place].calls]
        if not free:
            return None
        first = min(free, key=lambda place: (_end_ms(by_place[place]), by_place[place].id, place))
        found[generation_id] = first
        taken[first] += 1
    return found


def _end_ms(request: UnnamedRequest) -> int:
    return request.ended_ms or request.started_ms + LONG_MS
