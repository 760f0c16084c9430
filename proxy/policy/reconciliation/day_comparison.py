"""Compare a day of the ledger with a day of the provider's bill, call by call. Days are UTC's, as those of the bill.

An amount of a difference is what the bill has more than the ledger, in pico-USD; of all of them it is the whole drift.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from proxy.policy.pricing import Price, cost_from_usage_pusd
from proxy.policy.reconciliation.call_matching import EARLY_MS, UnclaimedCall, UnnamedRequest, match_calls
from proxy.policy.reconciliation.drift_class import (
    BEFORE_PROXY,
    BY_NAME,
    ESTIMATED,
    LOST_ROW,
    OTHER_DAY,
    OTHER_KEY,
    OUTSIDE_CALL,
    OWN_KEY,
    PENDING,
    PRICE_ROUNDING,
    RAISED,
    REFUNDED,
    RESERVATION_CHARGED,
    UNKNOWN,
)

ROUNDING_PUSD: Final = 1_000  # of one call: a bill that tells nine places, and a sum of floats
SHOWN_AFTER_MS: Final = 2 * 3_600_000  # a call that the bill does not show by then is not on it
_WORKED_OUT: Final = frozenset({"estimate", "price", "none"})
_NOT_TOLD: Final = _WORKED_OUT | {"reservation"}
Origin = Literal["proxy", "other", ""]
SUM: Final = "sum of "
"""What the reference of an amount begins with that was booked for a day, a model and a key, not for one call."""


class BookedRequest(NamedTuple):
    """A request as the ledger has it, as far as one provider goes.

    generation_ids: of its attempts there, as far as they are known; unnamed: how many of these attempts have none;
    unnamed_as: the key and the model of each of these, where they are not those of the request.
    booked_pusd: what is booked for them, with adjustments; elsewhere_pusd: for its attempts at other providers.
    upstream_pusd: the part of it that somebody else bills, for the provider's key of ours. is_own: it went with a key
    of the user's own, to an account that is not this one. Tokens: of these attempts, 0 where they are not known.
    attempt: of several, the number of the least certain one there.
    """

    id: int
    started_ms: int
    ended_ms: int | None
    user: str
    key_hash: str
    model: str
    generation_ids: tuple[str, ...]
    unnamed: int
    booked_pusd: int
    elsewhere_pusd: int
    upstream_pusd: int
    source: str
    state: str
    is_own: bool
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    session: str = ""
    attempt: int | None = None
    unnamed_as: tuple[tuple[str, str], ...] = ()

    @property
    def is_told(self) -> bool:
        """Return whether the provider told what it cost."""
        return self.source not in _NOT_TOLD


class BilledCall(NamedTuple):
    """A call on the bill. origin: who made it, as far as the provider says; model, session "": not known.

    upstream_pusd: what somebody else bills for it, for the provider's key of ours, on top of cost_pusd.
    """

    generation_id: str
    key_hash: str
    cost_pusd: int
    hour_ms: int
    created_ms: int
    origin: Origin = ""
    model: str = ""
    session: str = ""
    upstream_pusd: int = 0


class BookedApart(Struct, frozen=True):
    """An amount that was booked for no request. reference: the generation id that it was booked for.

    days: how far its day is from the one that is compared; not 0 only where its call is on the bill.
    """

    reference: str
    key_hash: str
    amount_pusd: int
    days: int = 0


class DriftEntry(NamedTuple):
    """One difference. request_id or generation_id, or neither: of the day as a whole.

    booked_pusd and billed_pusd: the figures of the request or call. actual_pusd: what the whole request should be
    booked at, or the call apart; None: nothing is to be booked. attempt: as in BookedRequest. at_ms: when a call was
    made, to the second where its id tells; None: only its hour is known.
    """

    drift_class: str
    amount_pusd: int
    request_id: int | None
    generation_id: str | None
    key_hash: str
    model: str
    hour_ms: int
    booked_pusd: int
    billed_pusd: int
    actual_pusd: int | None = None
    attempt: int | None = None
    at_ms: int | None = None


class DayBooks(Struct, frozen=True):
    """What is compared for one UTC day and one provider.

    requests: those that began on the day and do not agree with the bill in an obvious way; billed, later: calls that
    the bill has on the day, and in the hours after it, of all that are wanted here or that no row names; earlier: the
    ids of requests of the day before. apart: what was booked for no request, on the day, or for one of these calls on
    another one. agreed_pusd: of requests that are left out, for bill and ledger have the same.
    account_pusd: the day's bill of the whole account, None: not known (yet); other_keys_pusd: what is known of it for
    keys that are not the proxy's. is_complete: the calls of the proxy's keys add up to what the bill says of these
    keys, so that what it does not list was not charged. begun_ms: when the first request began, and
    keys_begun_ms, by hash, when a key came here after that: calls before it are history, and are never booked.
    shared_keys: hashes of keys with which another entry of the configuration made
    requests around the day that do not know their calls: a call of theirs may be one of these. prices: by model, as far
    as they are known. has_upstream: somebody else may bill a part of a call, for the provider's key of ours, and the
    bill does not say of which.
    """

    day_ms: int
    now_ms: int
    requests: Sequence[BookedRequest]
    billed: Mapping[str, BilledCall]
    later: Mapping[str, BilledCall] = field(default_factory=dict)
    earlier: Collection[str] = frozenset()
    apart: Sequence[BookedApart] = ()
    agreed_pusd: int = 0
    account_pusd: int | None = None
    other_keys_pusd: int = 0
    is_complete: bool = False
    begun_ms: int = 0
    keys_begun_ms: Mapping[str, int] = field(default_factory=dict)
    shared_keys: Collection[str] = frozenset()
    prices: Mapping[str, Price] = field(default_factory=dict)
    has_upstream: bool = False


class DayComparison(Struct, frozen=True):
    """The differences of a day; their amounts add up to billed_pusd - booked_pusd.

    pairs: calls that turned out to be requests which did not know it, by generation id.
    """

    booked_pusd: int
    billed_pusd: int
    entries: tuple[DriftEntry, ...]
    pairs: Mapping[str, int] = field(default_factory=dict)

    @property
    def difference_pusd(self) -> int:
        return self.billed_pusd - self.booked_pusd

    @property
    def drift_pusd(self) -> int:
        """Return the part of the difference that is to be booked or explained: 0 once it is."""
        return sum(one.amount_pusd for one in self.entries if not BY_NAME[one.drift_class].is_lasting)


def compare_day(books: DayBooks) -> DayComparison:
    """Return every difference of a day in exactly one class. Nothing that adds up is left out: the rest is unknown."""
    if books.is_complete and any(_is_missing(request, books) for request in books.requests):
        books = replace(books, is_complete=False)
    claimed = {id_ for request in books.requests for id_ in request.generation_ids}
    apart = {one.reference: one for one in books.apart if not one.days}
    elsewhere = {one.reference for one in books.apart if one.days}
    free = [
        call
        for call in (*books.billed.values(), *books.later.values())
        if call.generation_id not in claimed and call.generation_id not in books.earlier
    ]
    matches = match_calls(_unnamed(books.requests), _unclaimed(free, {*apart, *(elsewhere & books.billed.keys())}))
    matched: defaultdict[int, list[str]] = defaultdict(list)
    for generation_id, request_id in matches.pairs.items():
        matched[request_id].append(generation_id)
    entries: list[DriftEntry] = []
    for request in books.requests:
        entries += _of_request(request, books, matched[request.id], is_doubtful=request.id in matches.doubtful_requests)
    of_requests = {*claimed, *books.earlier, *matches.pairs}
    of_other_days = {*books.earlier, *(elsewhere - of_requests)}
    for generation_id, call in books.billed.items():
        if generation_id in of_other_days:
            entries.append(_of_call(OTHER_DAY, call, call.cost_pusd, 0, None))
        elif generation_id not in of_requests:
            is_doubtful = generation_id in matches.doubtful_calls or call.key_hash in books.shared_keys
            entries += _of_stranger(call, apart.get(generation_id), books, is_doubtful=is_doubtful)
    entries += [_given_back(one, books) for one in books.apart if one.reference in of_requests and one.amount_pusd]
    told = _told_by_key(entries)
    for one in apart.values():
        if one.amount_pusd and one.reference not in of_requests and one.reference not in books.billed:
            entries += _not_billed(one, books, told)
    return _with_rest(books, entries, matches.pairs)


def _is_missing(request: BookedRequest, books: DayBooks) -> bool:
    """Return whether a bill does not list what the provider itself told the cost of: such a bill is not complete."""
    is_known = request.state == "settled" and request.is_told and not request.is_own
    return (
        is_known
        and request.unnamed == 0
        and request.booked_pusd > request.upstream_pusd
        and not any(id_ in books.billed or id_ in books.later for id_ in request.generation_ids)
    )


def _unnamed(requests: Iterable[BookedRequest]) -> list[UnnamedRequest]:
    return [
        UnnamedRequest(one.id, key_hash, model, one.started_ms, one.ended_ms, one.session, calls)
        for one in requests
        if one.unnamed and not one.is_own
        for (key_hash, model), calls in Counter(one.unnamed_as or [(one.key_hash, one.model)] * one.unnamed).items()
    ]


def _unclaimed(calls: Iterable[BilledCall], apart: Collection[str]) -> list[UnclaimedCall]:
    return [
        UnclaimedCall(one.generation_id, one.key_hash, one.model, one.created_ms, one.session)
        for one in calls
        if one.origin != "other" and one.generation_id not in apart
    ]


def _of_request(
    request: BookedRequest, books: DayBooks, matched: Sequence[str], *, is_doubtful: bool
) -> list[DriftEntry]:
    """Return the differences of one request: what is billed on another day or by somebody else, then what is left."""
    ids = (*request.generation_ids, *matched)
    if request.is_own and not any(id_ in books.billed or id_ in books.later for id_ in ids):
        own = _entry(OWN_KEY, request, -request.booked_pusd, ids, 0)
        return [own] if request.booked_pusd else []
    here_pusd = sum(books.billed[id_].cost_pusd for id_ in ids if id_ in books.billed)
    later_pusd = sum(books.later[id_].cost_pusd for id_ in ids if id_ in books.later)
    billed_pusd = here_pusd + later_pusd
    upstream_pusd, is_whole = _upstream(request, ids, books)
    entries = []
    if later_pusd:
        entries.append(_entry(OTHER_DAY, request, -later_pusd, ids, billed_pusd))
    if upstream_pusd:
        entries.append(_entry(OWN_KEY, request, -upstream_pusd, ids, billed_pusd))
    left_pusd = billed_pusd + upstream_pusd - request.booked_pusd
    if left_pusd:
        is_found = bool(ids) and all(id_ in books.billed or id_ in books.later for id_ in ids)
        is_found = is_found and request.unnamed == len(matched)
        name, is_sure = _class_of(request, left_pusd, books, is_found=is_found)
        is_sure = is_sure and (is_whole or left_pusd > 0)
        actual_pusd = request.elsewhere_pusd + request.booked_pusd + left_pusd if is_sure and not is_doubtful else None
        if actual_pusd is not None and actual_pusd < 0:  # no call is charged less than nothing: the bill is wrong
            actual_pusd = None
        if actual_pusd is not None and is_found and _is_too_cheap(request, billed_pusd + upstream_pusd, books.prices):
            name, actual_pusd = UNKNOWN, None
        entries.append(_entry(name, request, left_pusd, ids, billed_pusd, actual_pusd))
    return entries


def _upstream(request: BookedRequest, ids: Sequence[str], books: DayBooks) -> tuple[int, bool]:
    """Return what somebody else bills for a request, and whether that is known of all its calls.

    A row knows it where the provider told its cost; else the provider's records of its calls may.
    """
    if request.is_told:
        return request.upstream_pusd, True
    calls = [books.billed.get(id_) or books.later.get(id_) for id_ in ids]
    found = [call for call in calls if call is not None]
    is_whole = not books.has_upstream or all(call.origin for call in found)
    return max(request.upstream_pusd, sum(call.upstream_pusd for call in found)), is_whole


def _is_too_cheap(request: BookedRequest, billed_pusd: int, prices: Mapping[str, Price]) -> bool:
    """Return whether a bill has less than half of what the tokens of a request cost, and of what is booked for it.

    Such a figure is rather a mistake than a price, and what is booked down on a mistake is spent twice.
    """
    price = prices.get(request.model)
    if price is None or request.upstream_pusd or not request.input_tokens + request.output_tokens:
        return False
    if request.state != "pending" and billed_pusd >= request.booked_pusd:  # in doubt more is booked
        return False
    tokens = request.input_tokens, request.output_tokens, request.cached_tokens
    listed_pusd = cost_from_usage_pusd(price, *tokens) - price.fee_pusd
    return 2 * billed_pusd < min(listed_pusd, request.booked_pusd or listed_pusd)  # of a pending one nothing is booked


def _class_of(request: BookedRequest, left_pusd: int, books: DayBooks, *, is_found: bool) -> tuple[str, bool]:
    """Return the class of what is left of a request, and whether the bill says for sure what it cost.

    It does where it lists every attempt of it; where it does not list one, only a complete bill of its key, of a day
    that is over long enough, says that there was nothing to charge.
    """
    is_waiting = request.state in ("open", "pending")
    end_ms = request.ended_ms if request.ended_ms is not None else request.started_ms
    is_recent = not is_found and books.now_ms - end_ms < SHOWN_AFTER_MS
    is_listed_whole = books.is_complete and request.key_hash != ""
    is_sure = is_found or (is_listed_whole and not is_recent and not is_waiting)
    if is_waiting or is_recent:
        return PENDING, is_sure and request.state != "open"
    if request.source == "reservation":
        return RESERVATION_CHARGED, is_sure
    if is_found and -ROUNDING_PUSD <= left_pusd <= ROUNDING_PUSD:
        return PRICE_ROUNDING, True
    if request.source in _WORKED_OUT:
        return ESTIMATED, is_sure
    if is_found:
        return (REFUNDED if left_pusd < 0 else RAISED), True
    return UNKNOWN, False


def _of_stranger(
    call: BilledCall, apart: BookedApart | None, books: DayBooks, *, is_doubtful: bool
) -> list[DriftEntry]:
    """Return the differences of a call that no row names, and that may have been booked apart.

    is_doubtful: it may be a request whose reservation is charged, so that it would be booked twice.
    """
    if apart is None and call.created_ms < max(books.begun_ms, books.keys_begun_ms.get(call.key_hash, 0)) - EARLY_MS:
        return [_of_call(BEFORE_PROXY, call, call.cost_pusd, 0, None)] if call.cost_pusd else []
    is_whole = not books.has_upstream or call.origin != ""  # nobody else bills more of it than is known
    whole_pusd = call.cost_pusd + call.upstream_pusd
    upstream = [_of_call(OWN_KEY, call, -call.upstream_pusd, 0, None)] if call.upstream_pusd else []
    if apart is not None:
        left_pusd = whole_pusd - apart.amount_pusd
        if not left_pusd:
            return upstream
        is_small = -ROUNDING_PUSD <= left_pusd <= ROUNDING_PUSD
        name = PRICE_ROUNDING if is_small else REFUNDED if left_pusd < 0 else RAISED
        is_sure = whole_pusd >= 0 and (is_whole or left_pusd > 0)
        return [*upstream, _of_call(name, call, left_pusd, apart.amount_pusd, whole_pusd if is_sure else None)]
    if not whole_pusd:
        return []
    if call.origin == "":
        return [_of_call(UNKNOWN, call, call.cost_pusd, 0, None)]
    name = LOST_ROW if call.origin == "proxy" else OUTSIDE_CALL
    is_sure = whole_pusd > 0 and not is_doubtful
    return [*upstream, _of_call(name, call, whole_pusd, 0, whole_pusd if is_sure else None)]


def _given_back(one: BookedApart, books: DayBooks) -> DriftEntry:
    """Return the difference of what was booked apart for a call that is a request's after all.

    Where it stands on another day, that one has the difference, and this one only says what is to be booked.
    """
    return _of_apart(LOST_ROW, one, books, 0 if one.days else -one.amount_pusd, 0, 0)


def _told_by_key(entries: Iterable[DriftEntry]) -> Mapping[str, int]:
    """Return what is now to be booked apart for single calls of each key."""
    found = Counter[str]()
    for entry in entries:
        if entry.request_id is None and entry.actual_pusd is not None:
            found[entry.key_hash] += entry.actual_pusd - entry.booked_pusd
    return found


def _not_billed(one: BookedApart, books: DayBooks, told: Mapping[str, int]) -> list[DriftEntry]:
    """Return the differences of what was booked apart, and is not on the bill of the day.

    The call may have moved to the day after. A sum gives way to the calls that it was made of: where the bill is
    complete to all of them, else as far as they are booked now.
    """
    call = books.later.get(one.reference)
    if call is not None:
        whole_pusd = call.cost_pusd + call.upstream_pusd
        left_pusd = whole_pusd - one.amount_pusd
        is_sure = whole_pusd >= 0 and (not books.has_upstream or call.origin != "" or left_pusd > 0)
        moved = _of_apart(OTHER_DAY, one, books, -whole_pusd, whole_pusd, None)
        name = REFUNDED if left_pusd < 0 else RAISED
        changed = _of_apart(name, one, books, left_pusd, whole_pusd, whole_pusd if is_sure else None)
        return [entry for entry in (moved, changed) if entry.amount_pusd]
    if books.is_complete:
        return [_of_apart(REFUNDED, one, books, -one.amount_pusd, 0, 0)]
    given_way_pusd = min(one.amount_pusd, told.get(one.key_hash, 0)) if one.reference.startswith(SUM) else 0
    if given_way_pusd > 0:
        left_pusd = one.amount_pusd - given_way_pusd
        return [_of_apart(OUTSIDE_CALL, one, books, -given_way_pusd, left_pusd, left_pusd)]
    return [_of_apart(UNKNOWN, one, books, -one.amount_pusd, 0, None)]


def _of_apart(
    name: str, one: BookedApart, books: DayBooks, amount_pusd: int, billed_pusd: int, actual_pusd: int | None
) -> DriftEntry:
    figures = one.amount_pusd, billed_pusd, actual_pusd
    return DriftEntry(name, amount_pusd, None, one.reference, one.key_hash, "", books.day_ms, *figures)


def _with_rest(books: DayBooks, entries: list[DriftEntry], pairs: Mapping[str, int]) -> DayComparison:
    """Add what is not of single calls: other keys, and what the bill of the day has beside all that it lists."""
    listed_pusd = books.agreed_pusd + sum(call.cost_pusd for call in books.billed.values())
    booked_pusd = books.agreed_pusd + sum(one.booked_pusd for one in books.requests)
    booked_pusd += sum(one.amount_pusd for one in books.apart if not one.days)
    known_pusd = listed_pusd + books.other_keys_pusd
    billed_pusd = known_pusd if books.account_pusd is None else books.account_pusd
    if books.other_keys_pusd:
        entries.append(_of_day(OTHER_KEY, books, books.other_keys_pusd, 0, books.other_keys_pusd))
    rest_pusd = billed_pusd - booked_pusd - sum(one.amount_pusd for one in entries)
    if rest_pusd:
        is_small = books.is_complete and -ROUNDING_PUSD <= rest_pusd <= ROUNDING_PUSD
        name = PRICE_ROUNDING if is_small else UNKNOWN  # the provider adds up before it rounds
        entries.append(_of_day(name, books, rest_pusd, known_pusd, billed_pusd))
    return DayComparison(booked_pusd, billed_pusd, tuple(entries), pairs)


def _entry(
    name: str,
    request: BookedRequest,
    amount_pusd: int,
    ids: Sequence[str],
    billed_pusd: int,
    actual_pusd: int | None = None,
) -> DriftEntry:
    return DriftEntry(
        name,
        amount_pusd,
        request.id,
        ids[0] if ids else None,
        request.key_hash,
        request.model,
        request.started_ms // 3_600_000 * 3_600_000,
        request.booked_pusd,
        billed_pusd,
        actual_pusd,
        request.attempt,
    )


def _of_call(name: str, call: BilledCall, amount_pusd: int, booked_pusd: int, actual_pusd: int | None) -> DriftEntry:
    return DriftEntry(
        name,
        amount_pusd,
        None,
        call.generation_id,
        call.key_hash,
        call.model,
        call.hour_ms,
        booked_pusd,
        call.cost_pusd,
        actual_pusd,
        at_ms=max(call.created_ms, call.hour_ms),  # a tail of the hour before is booked on the hour that was asked for
    )


def _of_day(name: str, books: DayBooks, amount_pusd: int, booked_pusd: int, billed_pusd: int) -> DriftEntry:
    return DriftEntry(name, amount_pusd, None, None, "", "", books.day_ms, booked_pusd, billed_pusd)
