"""Settlement: what is known of an answer -> what it cost and how certain that is. Pure.

Order of trust: usage.cost of the answer, the provider's own record of the generation, tokens x price, the reservation.
A cost that cannot be found is charged at the reservation and flagged; nothing is ever booked at 0 because it is
unknown.
"""

from proxy.pipeline.values.attempt_result import AttemptResult
from proxy.pipeline.values.settlement import (
    DOUBTFUL,
    FAILED,
    FEE,
    INEXACT,
    OVER,
    ROUNDED,
    TOO_SMALL,
    UNFINISHED,
    UNKNOWN,
    UNMETERED,
    UNPRICED,
    ZERO,
    BillingTerms,
    PriceUsage,
    Settlement,
)
from proxy.wire.usage import Usage

TIMED_OUT = frozenset((408, 504, 524))  # a proxy gave up waiting for a server that may still be at work
_BAD_GATEWAY = 502  # it may have been billed, but a provider that keeps records and has none of it did not
_NO_FLAGS: frozenset[str] = frozenset()


def settle(
    attempt_result: AttemptResult, terms: BillingTerms, reserved_pusd: int | None, price_usage: PriceUsage
) -> Settlement:
    """Decide what a finished attempt cost, or that it must be looked up first.

    reserved_pusd None: no price is known.
    """
    if not attempt_result.dispatched or attempt_result.canned:
        return Settlement("released", 0, "none", attempt_result.flags)
    usage = attempt_result.usage
    flags = attempt_result.flags
    if usage is not None:
        _, output_tokens, _, _, cost, is_exact, problem, _, _, extras = usage  # by names it takes several times as long
        is_odd = attempt_result.usage_is_open or attempt_result.least_tokens or not output_tokens
        doubt = contradiction(attempt_result, usage) if is_odd else None
        if doubt is not None:
            return _settle_contradicted(attempt_result, usage, doubt, terms, reserved_pusd, price_usage)
        if extras is not None:
            flags |= extras.doubts
        if cost is not None and terms.reports_cost:
            if cost or not _doubtful_zero(usage, price_usage):
                return _settled(cost, "provider", flags, reserved_pusd, is_exact)
            flags |= {DOUBTFUL}
        if problem is not None and (terms.reports_cost or terms.has_generations):
            flags |= {DOUBTFUL}
    if _certainly_unbilled(attempt_result, terms):
        return Settlement("released", 0, "none", flags)
    if not terms.has_generations and usage is not None:
        found = _by_tokens(usage, terms, price_usage)
        if found is not None:
            pusd, source, more, exact = found
            return _settled(pusd, source, flags | more, reserved_pusd, exact=exact)
    return _unknown(attempt_result, terms, reserved_pusd, flags)


def _by_tokens(
    usage: Usage, terms: BillingTerms, price_usage: PriceUsage
) -> tuple[int, str, frozenset[str], bool] | None:
    """Return the figure of a provider that reports no cost: amount, source, flags, and whether it is exact.

    Without a known price a reported cost is the best figure there is, but 0 proves nothing.
    """
    priced = price_usage(usage)
    if priced is not None:
        missing = terms.reports_cost and usage.cost_pusd is None and usage.cost_problem is None
        return priced.pusd, "price", priced.flags | ({UNPRICED} if missing else _NO_FLAGS), True
    if terms.takes_cost and usage.cost_pusd:
        return usage.cost_pusd, "provider", _NO_FLAGS, usage.cost_exact
    return None


def _unknown(
    attempt_result: AttemptResult, terms: BillingTerms, reserved_pusd: int | None, flags: frozenset[str], least: int = 0
) -> Settlement:
    """Look the cost up, or charge the worst case."""
    usage = attempt_result.usage
    if usage is None or (not terms.reports_cost and (usage.input_tokens is None or usage.output_tokens is None)):
        flags |= {UNMETERED}
    elif terms.reports_cost and usage.cost_pusd is None and usage.cost_problem is None:
        flags |= {UNPRICED}
    if (
        _said_that_it_failed(attempt_result)
        or (attempt_result.failed and not attempt_result.content_seen)
        or attempt_result.status == _BAD_GATEWAY
    ):
        flags |= {FAILED}
    if terms.has_generations and attempt_result.generation_id is not None:
        return Settlement("pending", None, "none", flags)
    source = "reservation" if terms.reports_cost else "estimate"
    if least > (reserved_pusd or 0):  # known to have cost that much at least
        return _settled(least, source, flags, reserved_pusd, exact=True)
    return give_up(reserved_pusd, source, set(flags))


def contradiction(attempt_result: AttemptResult, usage: Usage) -> str | None:
    """Return the flag that says why a usage cannot be all that an answer took; None where nothing speaks against it."""
    if attempt_result.usage_is_open:
        return UNFINISHED
    output_tokens = usage.output_tokens
    if output_tokens is None:
        return None
    if not output_tokens:
        if attempt_result.content_seen and (attempt_result.generates or usage.input_tokens == 0):
            return ZERO
    elif output_tokens < attempt_result.least_tokens:
        return TOO_SMALL
    return None


def _settle_contradicted(
    attempt_result: AttemptResult,
    usage: Usage,
    doubt: str,
    terms: BillingTerms,
    reserved_pusd: int | None,
    price_usage: PriceUsage,
) -> Settlement:
    """Charge the greater of an incomplete usage and the worst case, or look the cost up.

    A cost stands where only the counts beside it are wrong.
    """
    flags = attempt_result.flags | usage.doubts | {doubt}
    cost = usage.cost_pusd
    if cost and terms.reports_cost and doubt != UNFINISHED:
        return _settled(cost, "provider", flags, reserved_pusd, exact=usage.cost_exact)
    most = usage._replace(
        input_tokens=usage.input_tokens or 0, output_tokens=max(usage.output_tokens or 0, attempt_result.least_tokens)
    )
    priced = price_usage(most)
    told = cost or 0 if terms.reports_cost or terms.takes_cost else 0
    return _unknown(attempt_result, terms, reserved_pusd, flags, max(told, 0 if priced is None else priced.pusd))


def give_up(reserved_pusd: int | None, source: str, flags: set[str]) -> Settlement:
    """Charge the worst case, because the cost cannot be found any more."""
    if reserved_pusd is None:
        return Settlement("settled", None, "none", frozenset(flags | {UNKNOWN}))
    return Settlement("settled", reserved_pusd, source, frozenset(flags))


def settle_looked_up(cost_pusd: int, flags: set[str], reserved_pusd: int | None, *, exact: bool) -> Settlement:
    """Book the provider's own record of the generation."""
    return _settled(cost_pusd, "generation", frozenset(flags - INEXACT), reserved_pusd, exact=exact)


def _settled(cost_pusd: int, source: str, flags: frozenset[str], reserved_pusd: int | None, exact: bool) -> Settlement:
    if not exact:
        flags |= {ROUNDED}
    if reserved_pusd is not None and cost_pusd > reserved_pusd:
        flags |= {OVER}
    return Settlement("settled", cost_pusd, source, flags)


def with_request_price(settlement: Settlement, fee_pusd: int, reserved_pusd: int | None) -> Settlement:
    """Return a settlement with what the operator asks for the request on top of what the provider charges.

    A price and a reservation hold it already (Price.fee_pusd); a figure of the provider's never does.
    """
    if not fee_pusd or settlement.state != "settled":
        return settlement
    flags = settlement.flags | {FEE}
    if settlement.cost_pusd is None:
        return Settlement("settled", fee_pusd, "price", flags)
    holds_it = settlement.cost_source == "price" or (
        settlement.cost_source in ("reservation", "estimate") and OVER not in settlement.flags
    )
    if holds_it:
        return Settlement("settled", settlement.cost_pusd, settlement.cost_source, flags)
    return _settled(settlement.cost_pusd + fee_pusd, settlement.cost_source, flags, reserved_pusd, exact=True)


def _doubtful_zero(usage: Usage, price_usage: PriceUsage) -> bool:
    """Return whether a cost of 0 is doubtful: the answer has a price, and is no cache hit or own key."""
    if usage.cost_pusd != 0 or usage.is_byok or not usage.output_tokens:
        return False
    priced = price_usage(usage)
    return priced is not None and priced.pusd > 0


def _certainly_unbilled(attempt_result: AttemptResult, terms: BillingTerms) -> bool:
    """Return whether the provider refused before it worked, or failed within a 200 with nothing to look up.

    A generation id in a refusal is a contradiction: the provider's own record decides, and asking for it is free. Where
    the error leaves open whether there is anything to pay for, the provider's count of zero tells.
    """
    if attempt_result.generation_id is not None and terms.has_generations:
        return False
    if _said_that_it_failed(attempt_result):
        return not _counts(attempt_result.usage)
    return attempt_result.failed and not attempt_result.content_seen and _counts_zero(attempt_result.usage)


def _said_that_it_failed(attempt_result: AttemptResult) -> bool:
    """Return whether the provider refused, or said that it failed, and sent nothing that could be billed."""
    if attempt_result.status is None or attempt_result.unproven:
        return False
    return attempt_result.status >= 300 or (attempt_result.failed and not attempt_result.content_seen)


def _counts_zero(usage: Usage | None) -> bool:
    return usage is not None and usage.input_tokens == usage.output_tokens == 0 and not usage.cost_pusd


def _counts(usage: Usage | None) -> bool:
    if usage is None:
        return False
    rarer = usage.extras is not None and any(usage.extras.counts)
    return bool(usage.input_tokens or usage.output_tokens or usage.cost_pusd or rarer)
