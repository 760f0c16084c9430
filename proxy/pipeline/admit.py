"""admit: fit a request into what its user may still spend, or refuse it. No await between check and reservation."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from proxy.core.errors import CallerError
from proxy.pipeline.allowance import Allowance
from proxy.pipeline.desk import Desk
from proxy.pipeline.parts import Snapshot
from proxy.pipeline.refusal import quota_refused, unaffordable
from proxy.policy.pricing import (
    BodyFacts,
    Clamped,
    Price,
    Unaffordable,
    Unbounded,
    clamp_output_tokens,
    input_bound_tokens,
    worst_case_pusd,
)
from proxy.policy.quota import Admitted, Amounts, Quota, Refused

_TEMPLATE_TOKENS = 256  # as in policy/pricing/bound.py: what a provider adds to a prompt


class Wanted(NamedTuple):
    """One request as it asks to be let in. prices: of all targets; None: at least one is not known."""

    id: int
    now_ms: int
    allowance: Allowance
    facts: BodyFacts
    prices: tuple[Price, ...] | None


@dataclass(frozen=True, slots=True)
class Admission:
    """What was reserved. max_tokens: to be written into the body; lowered: the client is told."""

    amount_pusd: int | None
    tokens: int | None
    max_tokens: int | None
    lowered: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """waiting_helps: it would fit but for other open reservations."""

    error: CallerError
    waiting_helps: bool


def admit(wanted: Wanted, desk: Desk, snapshot: Snapshot) -> Admission | Refusal:
    """Reserve the request's worst case in all its windows, lowered to what still fits, or say why not."""
    fitted = _fit(wanted, desk, snapshot)
    if isinstance(fitted, Refusal):
        return fitted
    amounts = Amounts(
        cost_pusd=fitted.amount_pusd or 0, tokens=fitted.tokens or 0, is_priced=fitted.amount_pusd is not None
    )
    outcome = desk.reserve(wanted.id, wanted.allowance.scopes, wanted.now_ms, amounts, wanted.allowance.quotas)
    if isinstance(outcome, Admitted):
        return fitted
    return _refusal(outcome, wanted, desk, snapshot)


def _refusal(refused: Refused, wanted: Wanted, desk: Desk, snapshot: Snapshot) -> Refusal:
    error = quota_refused(
        refused,
        desk.open_in(refused.quota.scope),
        wanted.now_ms,
        snapshot.zone,
        snapshot.settings.quotas.budget_status,
    )
    return Refusal(error, refused.only_reservations_in_way and refused.quota.kind in ("cost", "tokens"))


def _fit(wanted: Wanted, desk: Desk, snapshot: Snapshot) -> Admission | Refusal:
    allowance = wanted.allowance
    cap = _cap(wanted, desk)
    if wanted.prices is not None and allowance.has_hard_cost:
        return _fit_budget(wanted, cap, desk, snapshot)
    asked = wanted.facts.max_output_tokens
    send = cap if cap is not None and (asked is None or asked > cap) else None
    amount = _worst_case(wanted, send)
    return Admission(amount, _tokens(wanted, send), send, lowered=send is not None)


def _fit_budget(wanted: Wanted, cap: int | None, desk: Desk, snapshot: Snapshot) -> Admission | Refusal:
    """Lower max_tokens until the worst case fits into the tightest hard cost limit."""
    assert wanted.prices is not None
    quotas, now_ms = wanted.allowance.quotas, wanted.now_ms
    may_lower = snapshot.settings.quotas.on_unaffordable == "clamp"
    left = desk.book.headroom_pusd(quotas, now_ms)
    assert left is not None
    found = clamp_output_tokens(wanted.prices, wanted.facts, left, cap_tokens=cap, may_lower=may_lower)
    if isinstance(found, Clamped):
        return Admission(found.reserve_pusd, _tokens(wanted, found.max_tokens), found.max_tokens, found.lowered)
    free = desk.book.headroom_pusd(quotas, now_ms, ignore_reserved=True)
    assert free is not None
    later = clamp_output_tokens(wanted.prices, wanted.facts, free, cap_tokens=cap, may_lower=may_lower)
    return Refusal(_unaffordable(found, left, wanted, desk, snapshot), isinstance(later, Clamped))


def _unaffordable(found: Unaffordable, left_pusd: int, wanted: Wanted, desk: Desk, snapshot: Snapshot) -> CallerError:
    """Name the limit that leaves least; one that is spent is told as spent."""
    rows = [
        row
        for row in desk.book.limits_view(wanted.allowance.quotas, wanted.now_ms)
        if row.kind == "cost" and row.mode == "hard"
    ]
    tightest = min(rows, key=lambda row: row.remaining)
    quota = Quota(tightest.scope, tightest.kind, tightest.limit, tightest.window, tightest.mode)
    status = snapshot.settings.quotas.budget_status
    if tightest.remaining == 0:
        refused = Refused(
            quota,
            tightest.used,
            tightest.reserved,
            found.needed_pusd,
            tightest.resets_at_ms,
            only_reservations_in_way=False,
        )
        return quota_refused(refused, desk.open_in(quota.scope), wanted.now_ms, snapshot.zone, status)
    return unaffordable(found, left_pusd, quota, tightest.resets_at_ms, wanted.now_ms, snapshot.zone, status)


def _worst_case(wanted: Wanted, max_tokens: int | None) -> int | None:
    """Give the worst case where nothing is held against it: it stands in the row, so that a crash leaves an amount."""
    if wanted.prices is None:
        return None
    try:
        return worst_case_pusd(wanted.prices, wanted.facts, max_tokens)
    except Unbounded:
        return None


def _cap(wanted: Wanted, desk: Desk) -> int | None:
    """Give the longest answer that the user's max_tokens and hard token limits allow."""
    cap = wanted.allowance.max_tokens
    if not wanted.allowance.has_tokens:
        return cap
    for row in desk.book.limits_view(wanted.allowance.quotas, wanted.now_ms):
        if row.kind == "tokens" and row.mode == "hard":
            room = (row.remaining - _input_tokens(wanted)) // wanted.facts.choices
            if room >= 1:  # with no room at all the reservation refuses, and names the limit
                cap = room if cap is None else min(cap, room)
    return cap


def _tokens(wanted: Wanted, max_tokens: int | None) -> int | None:
    """Give the most tokens of the request, in and out, where a token limit asks for them."""
    if not wanted.allowance.has_tokens:
        return None
    output = max_tokens if max_tokens is not None else wanted.facts.max_output_tokens
    return _input_tokens(wanted) + (output or 0) * wanted.facts.choices


def _input_tokens(wanted: Wanted) -> int:
    bound = wanted.facts.size_bytes + _TEMPLATE_TOKENS
    if wanted.prices is None:
        return bound
    try:
        return max(input_bound_tokens(price, wanted.facts) for price in wanted.prices)
    except Unbounded:
        return bound


def with_max_tokens(body: dict[str, Any], max_tokens: int | None) -> dict[str, Any]:
    """Write the maximum into the body, under the name that the client used; max_tokens where it used none."""
    if max_tokens is None:
        return body
    names = [name for name in ("max_tokens", "max_completion_tokens") if body.get(name) is not None] or ["max_tokens"]
    return {**body, **dict.fromkeys(names, max_tokens)}
