"""Explain why a window holds more than its limit: by the rows themselves, a changed limit, or a fault. Pure.

Requests are gone through in the order in which they were let in. What each counted at that moment is taken at its
least (a request that had ended at no more than its reservation), so that a request found to have been let in past its
limit was.
"""

import heapq
from collections.abc import Iterable
from typing import NamedTuple

from proxy.core.clock import iso_utc
from proxy.core.limit_kinds import BY_NAME
from proxy.core.money import pusd_to_usd
from proxy.policy.quota import Quota
from proxy.storage.rows import id_text

_RELOAD_MS = 5_000  # a changed file is in force within a second; requests of that moment may know the old one


class EndedRequest(NamedTuple):
    """What a request came to, in the unit of the quota; adjusted came on top later. flagged: over_reservation."""

    finished_ms: int
    amount: int
    adjusted: int
    flagged: bool


class RequestedAmounts(NamedTuple):
    """A request at admission. reserved None: nothing was held, because no such limit or no price was known."""

    id: int
    started_ms: int
    reserved: int | None
    ended: EndedRequest | None


def explain_excess(
    quota: Quota, excess: int, limits_changed_ms: int | None, asked: Iterable[RequestedAmounts]
) -> tuple[bool, str]:
    """Return whether the excess over a quota is explained, and why."""
    over = adjusted = 0
    passed: RequestedAmounts | None = None
    strict_from_ms = 0 if limits_changed_ms is None else limits_changed_ms + _RELOAD_MS
    running: list[tuple[int, int, int]] = []  # finished_ms, reserved, least amount
    held = 0  # what counted at least when the last request was admitted
    for request in asked:
        while running and running[0][0] <= request.started_ms:
            _, reserved, least = heapq.heappop(running)
            held += least - reserved
        amount = request.reserved or 0
        if amount and held + amount > quota.amount and request.started_ms >= strict_from_ms:
            passed = passed or request
        held += amount
        if request.ended is not None:
            end = request.ended
            least = end.amount if request.reserved is None else min(end.amount, request.reserved)
            heapq.heappush(running, (end.finished_ms, amount, least))
            adjusted += end.adjusted
            if request.reserved is not None and (end.flagged or BY_NAME[quota.kind].unit != "money"):
                over += max(0, end.amount - request.reserved)
    if passed is not None:
        return False, f"{id_text(passed.id)} was admitted above it"
    by_rows = over + max(adjusted, 0)
    if excess <= by_rows:
        return True, f"requests that came to {_text(quota, over)} more than reserved{_corrections(quota, adjusted)}"
    since = "" if limits_changed_ms is None else f" (limits were changed by {iso_utc(limits_changed_ms)})"
    why = f"the limit was lowered, or is newer than what was spent{since}; none was admitted above it since"
    return limits_changed_ms is not None, why if limits_changed_ms is not None else "nothing in the rows explains it"


def _text(quota: Quota, amount: int) -> str:
    return f"${pusd_to_usd(amount)}" if BY_NAME[quota.kind].unit == "money" else f"{amount} {quota.kind}"


def _corrections(quota: Quota, adjusted: int) -> str:
    return f", and adjustments of {_text(quota, adjusted)}" if adjusted > 0 else ""
