"""The sum over the attempts of one request, and each one's share of its reservation. Pure.

A request has one reservation. An attempt that may be billed takes its share of it along; one that was certainly not
billed leaves it to the next. So the shares never add up to more than was reserved, and an unknown cost is charged at
its share.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from proxy.core.counts import Counts
from proxy.core.limit_kinds import NO_PIECES, NONE_ASKED, Pieces, uncounted_pieces
from proxy.pipeline.values.settlement import OVER, UNKNOWN, Settlement, State
from proxy.storage.rows import AttemptEnd, RequestEnd, Reserved

# the most certain first: a sum is as certain as its least certain part
_SOURCES = ("none", "provider", "generation", "price", "estimate", "reservation")


class SettledAttempt(NamedTuple):
    """One attempt that is over, with the row that it leaves. Its share stands in the row, but for the last."""

    settlement: Settlement
    end: AttemptEnd


def rest(reserved: Reserved, ends: Iterable[AttemptEnd]) -> Reserved:
    """Return what is left of a reservation after the shares of earlier attempts."""
    for end in ends:
        reserved = reserved.without(end.reserved_pusd, end.reserved_tokens)
    return reserved


def share(part: SettledAttempt, left: Reserved, bound_pusd: int | None, *, maybe_billed: bool) -> Reserved:
    """Return the share of an ended attempt: its figures if they are known, else the most it may cost.

    left is the rest of the reservation, bound_pusd the worst case of this attempt alone; the share is not above left.
    """
    settlement, end = part
    free = settlement.state == "released" and not maybe_billed
    return Reserved(
        None if left.cost_pusd is None else 0 if free else min(left.cost_pusd, _cost(settlement, bound_pusd, left)),
        None if left.tokens is None else 0 if free else min(left.tokens, _tokens(end, left)),
    )


def _cost(settlement: Settlement, bound_pusd: int | None, left: Reserved) -> int:
    assert left.cost_pusd is not None
    if settlement.state == "settled" and settlement.cost_pusd is not None:
        return settlement.cost_pusd
    return left.cost_pusd if bound_pusd is None else bound_pusd


def _tokens(end: AttemptEnd, left: Reserved) -> int:
    assert left.tokens is not None
    return (end.input_tokens or 0) + (end.output_tokens or 0) if _is_counted(end) else left.tokens


def _is_counted(end: AttemptEnd) -> bool:
    return end.input_tokens is not None or end.output_tokens is not None


def held_pusd(parts: Sequence[SettledAttempt], reserved: Reserved) -> int:
    """Return the least that must be held for a request: known costs, and the shares of attempts still unknown."""
    total = 0
    for part in _with_rest(parts, reserved):
        cost_pusd = part.settlement.cost_pusd
        total += (part.end.reserved_pusd or 0) if cost_pusd is None else cost_pusd
    return total


def add_up(
    end: RequestEnd, parts: Sequence[SettledAttempt], reserved: Reserved, pieces: Pieces = NONE_ASKED
) -> RequestEnd:
    """Return the end of a request with the sums over its attempts; parts are all of them in order.

    pieces: what each attempt asks for. attempt_ends is left to the caller.
    """
    settlement = total_settlement([part.settlement for part in parts], reserved.cost_pusd)
    last = parts[-1].end
    ends = [part.end for part in parts]
    counts = _all_counts(ends)
    used = [pieces.used(part.end.counts) for part in parts if part.settlement.state == "settled"]
    return end._replace(
        input_tokens=_sum(one.input_tokens for one in ends),
        output_tokens=_sum(one.output_tokens for one in ends),
        cached_tokens=_sum(one.cached_tokens for one in ends),
        reasoning_tokens=_sum(one.reasoning_tokens for one in ends),
        cost_pusd=settlement.cost_pusd,
        cost_source=settlement.cost_source,
        state=settlement.state,
        attempts=len(parts),
        generation_id=last.generation_id,
        flags=" ".join(sorted(settlement.flags)) or None,
        outcome=last.outcome,
        upstream_status=last.status,
        served_by=last.served_by,
        is_byok=max((one.is_byok for one in ends if one.is_byok is not None), default=None),
        upstream_cost_pusd=_sum(one.upstream_cost_pusd for one in ends),
        billed=last.billed,
        uncounted_tokens=0 if settlement.state == "pending" else _uncounted(parts, reserved),
        counts=counts,
        uncounted_pieces=NO_PIECES if settlement.state == "pending" else uncounted_pieces(used, counts),
    )


def total_settlement(settlements: Sequence[Settlement], reserved_pusd: int | None) -> Settlement:
    """Return the settlement of a request: pending while any attempt is, released only if all are.

    An unknown cost does not hide the others: they are booked, and flag cost_unknown stays.
    """
    flags = frozenset().union(*(settlement.flags for settlement in settlements)) - {OVER}
    state = _state(settlements)
    if state != "settled":
        return Settlement(state, None if state == "pending" else 0, "none", flags)
    charged = [settlement for settlement in settlements if settlement.state == "settled"]
    known = [settlement for settlement in charged if settlement.cost_pusd is not None]
    if not known:
        return Settlement("settled", None, "none", flags)
    cost_pusd = sum(settlement.cost_pusd or 0 for settlement in known)
    sources = [settlement.cost_source for settlement in known if settlement.cost_pusd] or [known[-1].cost_source]
    if reserved_pusd is not None and cost_pusd > reserved_pusd:
        flags |= {OVER}
    if len(known) == len(charged):
        flags -= {UNKNOWN}
    return Settlement("settled", cost_pusd, max(sources, key=_SOURCES.index), flags)


def _state(settlements: Sequence[Settlement]) -> State:
    states = {settlement.state for settlement in settlements}
    return "pending" if "pending" in states else "settled" if "settled" in states else "released"


def _with_rest(parts: Sequence[SettledAttempt], reserved: Reserved) -> list[SettledAttempt]:
    """Return the parts with the last one's share written into it."""
    left = rest(reserved, (part.end for part in parts[:-1]))
    last = parts[-1].end._replace(reserved_pusd=left.cost_pusd, reserved_tokens=left.tokens)
    return [*parts[:-1], SettledAttempt(parts[-1].settlement, last)]


def _uncounted(parts: Sequence[SettledAttempt], reserved: Reserved) -> int:
    """Sum the tokens set aside for attempts that were charged and whose tokens nobody counted."""
    return sum(
        end.reserved_tokens or 0
        for settlement, end in _with_rest(parts, reserved)
        if settlement.state == "settled" and not _is_counted(end)
    )


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _all_counts(ends: Iterable[AttemptEnd]) -> Counts | None:
    total: Counts | None = None
    for end in ends:
        if end.counts is not None:
            total = end.counts if total is None else total.plus(end.counts)
    return total
