"""Fit a request into what its user may still spend, or refuse it. Check and hold are one step of the limiter."""

from collections.abc import Awaitable

from msgspec import Struct

from proxy.core.endpoint_kind import LEAST_TOKENS
from proxy.core.errors import CallerError
from proxy.core.limit_kinds import BY_NAME, NONE_ASKED, Pieces
from proxy.core.money import MAX_PUSD
from proxy.pipeline.admission.limit_errors import (
    not_bookable,
    not_bounded,
    quota_refused,
    thinks_too_long,
    unaffordable,
)
from proxy.pipeline.admission.limiter import Limiter
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.values.allowance import Allowance
from proxy.policy.pricing import (
    BodyFacts,
    ClampedOutput,
    Price,
    UnaffordableOutput,
    UnboundedError,
    clamp_output_tokens,
    estimate_pusd,
    estimated_tokens,
    floor_tokens,
    input_bound_tokens,
    output_limit_tokens,
    worst_case_pusd,
)
from proxy.policy.quota import Amounts, LimitExceeded

_new_tuple = tuple.__new__  # read from its class it would take longer than the call
_LEAST_TOKENS_MAX = max(LEAST_TOKENS.values())
_FITS_MAX = 64  # as many may be let in between check and hold, where a limiter asks another machine
_TEMPLATE_TOKENS = 256  # as in policy/pricing/worst_case.py: what a provider adds to a prompt


class AdmissionRequest(Struct, frozen=True, eq=False):
    """A request for admission. prices: of all targets; None: at least one is unknown.

    places: provider and model of whatever may be asked, where sets of models have totals.
    """

    id: int
    now_ms: int
    allowance: Allowance
    facts: BodyFacts
    prices: tuple[Price, ...] | None
    use_case: str | None = None
    places: tuple[tuple[str, str], ...] = ()


class Admission(Struct, eq=False):
    """What was reserved. max_tokens: to be written into the body; lowered: the client is told."""

    amount_pusd: int | None
    tokens: int | None
    max_tokens: int | None
    lowered: bool
    pieces: Pieces = NONE_ASKED


class AdmissionRefused(Struct, frozen=True):
    """waiting_helps: it would fit without the other open reservations."""

    error: CallerError
    waiting_helps: bool


async def admit(wanted: AdmissionRequest, limiter: Limiter, snapshot: Snapshot) -> Admission | AdmissionRefused:
    """Reserve the request's worst case in all its windows, lowered to what still fits, or say why not.

    Raises CallerError where there is no worst case under a hard cost limit, or one that no row can hold.
    """
    fits = 0
    while True:
        fitted = _unlimited(wanted) or await _fit(wanted, limiter, snapshot)
        if isinstance(fitted, AdmissionRefused):
            return fitted
        refused = await _hold(fitted, wanted, limiter)
        if refused is None:
            return fitted
        fits += 1
        if fits == _FITS_MAX or refused.quota.kind != "cost" or refused.quota.mode != "hard":
            return _refusal(refused, wanted, limiter, snapshot)
        # others have taken meanwhile what it was fitted into: there may be room for less


def _hold(fitted: Admission, wanted: AdmissionRequest, limiter: Limiter) -> Awaitable[LimitExceeded | None]:
    """Hold what was fitted; return the limit that has no room."""
    allowance, cost_pusd = wanted.allowance, fitted.amount_pusd
    if cost_pusd is not None and cost_pusd > MAX_PUSD:
        raise not_bookable(cost_pusd)
    likely_pusd, likely_tokens = 0, 0
    if allowance.has_soft:  # by the target that is asked first
        likely_pusd, likely_tokens = likely(wanted.prices[0] if wanted.prices else None, wanted.facts)
    pieces = fitted.pieces = wanted.facts.pieces
    amounts = _new_tuple(  # what Amounts(…) comes to, without the call between
        Amounts,
        (cost_pusd or 0, fitted.tokens or 0, 1, likely_pusd, likely_tokens, cost_pusd is not None, pieces.asked),
    )
    scopes = allowance.scopes if wanted.use_case is None else limiter.scopes_with(allowance.scopes, wanted.use_case)
    if wanted.places:
        scopes = limiter.with_models(scopes, wanted.places)
    return limiter.reserve(wanted.id, scopes, wanted.now_ms, amounts, allowance.quotas)


def likely(price: Price | None, facts: BodyFacts) -> tuple[int, int]:
    """Return what a request is thought to come to, in pico-USD and tokens."""
    tokens = sum(estimated_tokens(facts, None if price is None else output_limit_tokens(price)))
    return 0 if price is None else estimate_pusd(price, facts), tokens


def refusal_of(refused: LimitExceeded, now_ms: int, limiter: Limiter, snapshot: Snapshot) -> CallerError:
    """Return the error for a limit that has no room."""
    return quota_refused(
        refused,
        limiter.open_in(refused.quota.counted_in),
        now_ms,
        snapshot.zone,
        snapshot.settings.quotas.budget_status,
    )


def _refusal(
    refused: LimitExceeded, wanted: AdmissionRequest, limiter: Limiter, snapshot: Snapshot
) -> AdmissionRefused:
    error = refusal_of(refused, wanted.now_ms, limiter, snapshot)
    return AdmissionRefused(error, refused.only_reservations_in_way and BY_NAME[refused.quota.kind].is_returned)


def _unlimited(wanted: AdmissionRequest) -> Admission | None:
    """Return the admission of a request that no hard limit on cost or tokens bounds; None where one does."""
    allowance = wanted.allowance
    if wanted.prices is not None and not wanted.prices:  # static answers only: no provider is asked
        return Admission(0, 0 if allowance.has_tokens else None, None, lowered=False)
    if allowance.max_tokens is None and not allowance.has_hard_cost and not allowance.has_hard_tokens:
        tokens = _tokens(wanted, None) if allowance.has_tokens else None
        return Admission(_worst_case(wanted, None), tokens, None, False)
    return None


async def _fit(wanted: AdmissionRequest, limiter: Limiter, snapshot: Snapshot) -> Admission | AdmissionRefused:
    allowance = wanted.allowance
    natural = _natural_tokens(wanted)
    cap = None
    if wanted.facts.generates:  # embeddings have no answer that could be shorter
        cap = _own_cap(wanted, natural)
        if wanted.allowance.has_hard_tokens and (natural is None or snapshot.may_lower):
            cap = await _token_cap(wanted, natural, cap, limiter)
        if cap is not None and natural is not None and cap >= natural:
            cap = None
    if wanted.prices is not None and allowance.has_hard_cost:
        return await _fit_budget(wanted, cap, limiter, snapshot)
    send = cap
    lowered = send is not None
    if send is None and wanted.facts.max_output_tokens is None and allowance.has_hard_tokens:
        send = natural  # another host of the same model may have a greater maximum than the list says
    return Admission(_worst_case(wanted, send), _tokens(wanted, send), send, lowered=lowered)


async def _fit_budget(
    wanted: AdmissionRequest, cap: int | None, limiter: Limiter, snapshot: Snapshot
) -> Admission | AdmissionRefused:
    """Lower max_tokens until the worst case fits into the tightest hard cost limit."""
    assert wanted.prices is not None
    left = await limiter.headroom_pusd(wanted.allowance.quotas, wanted.now_ms)
    assert left is not None
    try:
        found = clamp_output_tokens(wanted.prices, wanted.facts, left, cap, snapshot.may_lower)
    except UnboundedError as error:
        raise not_bounded(str(error)) from None
    if isinstance(found, ClampedOutput):
        send = found.max_tokens
        if send is None and wanted.allowance.has_hard_tokens and wanted.facts.generates:
            send = _natural_tokens(wanted)  # no money bounds the answer, but tokens do
        return Admission(found.reserve_pusd, _tokens(wanted, send), send, found.lowered)
    return await _unaffordable(found, wanted, limiter, snapshot)


async def _unaffordable(
    found: UnaffordableOutput, wanted: AdmissionRequest, limiter: Limiter, snapshot: Snapshot
) -> Admission | AdmissionRefused:
    """Return the limit that comes first in the fixed order, of any kind; for money with what it would pay for."""
    pieces = wanted.facts.pieces.asked
    amounts = Amounts(found.needed_pusd, _tokens(wanted, found.floor_tokens) or 0, pieces=pieces)
    refused = await limiter.refused(wanted.now_ms, amounts, wanted.allowance.quotas)
    if refused is None:  # others have ended meanwhile, and there is room for it after all
        return await _fit(wanted, limiter, snapshot)
    quota = refused.quota
    left_pusd = quota.amount - refused.used - refused.reserved
    if quota.kind != "cost" or quota.mode != "hard" or left_pusd <= 0:
        return _refusal(refused, wanted, limiter, snapshot)
    status = snapshot.settings.quotas.budget_status
    error = unaffordable(found, refused, wanted.now_ms, snapshot.zone, status)
    return AdmissionRefused(error, refused.only_reservations_in_way)


def _worst_case(wanted: AdmissionRequest, max_tokens: int | None) -> int | None:
    """Return the worst case where no limit needs it: the row holds it, so that a crash leaves an amount."""
    if wanted.prices is None:
        return None
    try:
        return worst_case_pusd(wanted.prices, wanted.facts, max_tokens)
    except UnboundedError:
        return None


def _natural_tokens(wanted: AdmissionRequest) -> int | None:
    """Return the longest answer before any lowering: what the client asked for, else the models' greatest."""
    if not wanted.facts.generates:
        return 0
    if wanted.facts.max_output_tokens is not None:
        return wanted.facts.max_output_tokens
    limits = [output_limit_tokens(price) for price in wanted.prices or ()]
    known = [limit for limit in limits if limit is not None]
    return max(known) if known and len(known) == len(limits) else None


async def _token_cap(wanted: AdmissionRequest, natural: int | None, cap: int | None, limiter: Limiter) -> int | None:
    """Return the longest answer that hard token limits and cap allow; None: any length.

    As with money, one request takes at most half of the tokens that are left, and is not cut below 256: where not even
    that fits the reservation refuses, and names the limit.
    """
    known = [tokens for tokens in (natural, cap) if tokens is not None]
    floor = min([floor_tokens(wanted.facts), *known])
    for row in await limiter.limits(wanted.allowance.quotas, wanted.now_ms):
        if row.kind == "tokens" and row.mode == "hard":
            room = (row.remaining - _input_tokens(wanted)) // wanted.facts.choices
            most = max(room // 2, floor)
            cap = most if cap is None else min(cap, most)
    return cap


def _own_cap(wanted: AdmissionRequest, natural: int | None) -> int | None:
    """Return the user's own max_tokens, at least what the endpoint takes.

    Raises CallerError 400 for a thinking budget that does not fit into it.
    """
    cap, least = wanted.allowance.max_tokens, wanted.facts.min_output_tokens
    if cap is None or cap >= least or (natural is not None and natural <= cap):
        return cap
    if least > _LEAST_TOKENS_MAX:
        raise thinks_too_long(least - 1, cap)
    return least


def _tokens(wanted: AdmissionRequest, max_tokens: int | None) -> int | None:
    """Return the most tokens of the request, in and out, where a token limit needs them."""
    if not wanted.allowance.has_tokens:
        return None
    output = max_tokens if max_tokens is not None else _natural_tokens(wanted)
    return _input_tokens(wanted) + (output or 0) * wanted.facts.choices


def _input_tokens(wanted: AdmissionRequest) -> int:
    bound = wanted.facts.size_bytes + _TEMPLATE_TOKENS
    if wanted.prices is None:
        return bound
    try:
        return max(input_bound_tokens(price, wanted.facts) for price in wanted.prices)
    except UnboundedError:
        return bound
