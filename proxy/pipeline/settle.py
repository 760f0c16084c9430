"""settle: what was heard of an answer -> what it cost and how sure that is. Pure.

Order of trust: usage.cost of the answer, the provider's own record of the generation, tokens x price, the reservation.
What cannot be learnt is charged at the reservation and flagged; nothing is ever booked at 0 because it is unknown.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from proxy.wire.usage import Usage

State = Literal["pending", "settled", "released"]

# the words of requests.flags, in docs/ledger.md
ROUNDED = "cost_rounded"  # the provider's literal was finer than a pico-USD; rounded up
OVER = "over_reservation"
DOUBTFUL = "cost_doubtful"  # a cost came that cannot be one, or 0 for a priced answer
UNKNOWN = "cost_unknown"  # no figure and no reservation to fall back on
UNMETERED = "usage_missing"
UNPRICED = "cost_missing"  # usage came, but no cost in it
CRASH = "crash"
HUNG_UP = "client_gone"
BROKEN = "answer_broken"
FAILED = "answer_failed"  # the provider said that it failed, and sent no content
UNSETTLED = "settlement_failed"  # the proxy failed while it worked out what it cost

_NO_FLAGS: frozenset[str] = frozenset()
INEXACT = frozenset({UNMETERED, UNPRICED, DOUBTFUL})  # they say why there was no figure, and go where one is found


@dataclass(slots=True, eq=False)
class Heard:
    """What came back from the provider for one attempt, filled while it comes.

    dispatched: a byte of the request may have reached the provider. complete: the answer ended as its kind ends.
    failed: the provider itself said that it failed (an error object in a 200).
    """

    dispatched: bool = False
    status: int | None = None
    generation_id: str | None = None
    model: str | None = None
    served_by: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    failed: bool = False
    content_seen: bool = False
    complete: bool = False
    aborted: bool = False
    error: str | None = None  # code of docs/errors.md
    canned: bool = False  # a static target's: nobody charges for it
    error_code: str | None = None  # the provider's own word or number
    flags: frozenset[str] = _NO_FLAGS
    first_byte_s: float | None = None


@dataclass(slots=True)
class Verdict:
    """The figure for a request. cost_pusd None stands with state pending, or where nobody can tell any more."""

    state: State
    cost_pusd: int | None
    cost_source: str
    flags: frozenset[str]


class Terms(Protocol):
    """What a provider says about money (of providers/rows.py)."""

    reports_cost: bool
    has_generations: bool


def settle(
    heard: Heard, terms: Terms, reserved_pusd: int | None, price_usage: Callable[[Usage], int | None]
) -> Verdict:
    """Decide what a finished attempt cost, or that it must be looked up first.

    reserved_pusd None: no price is known. price_usage gives tokens x price, or None without a price.
    """
    if not heard.dispatched or heard.canned:
        return Verdict("released", 0, "none", heard.flags)
    usage = heard.usage
    cost = None if usage is None else usage.cost_pusd
    flags = set(heard.flags)
    if cost is not None and usage is not None and terms.reports_cost:
        if cost or not _doubtful_zero(usage, terms, price_usage):
            return _settled(cost, "provider", heard.flags, reserved_pusd, exact=usage.cost_exact)
        flags.add(DOUBTFUL)
    if usage is not None and usage.cost_problem is not None:
        flags.add(DOUBTFUL)
    if _certainly_unbilled(heard):
        return Verdict("released", 0, "none", frozenset(flags))
    if not terms.reports_cost and usage is not None:
        priced = price_usage(usage)
        if priced is not None:
            return _settled(priced, "price", frozenset(flags), reserved_pusd, exact=True)
    if usage is None:
        flags.add(UNMETERED)
    elif terms.reports_cost and cost is None and usage.cost_problem is None:
        flags.add(UNPRICED)
    if heard.failed and not heard.content_seen:
        flags.add(FAILED)
    if terms.has_generations and heard.generation_id is not None:
        return Verdict("pending", None, "none", frozenset(flags))
    return give_up(reserved_pusd, "reservation" if terms.reports_cost else "estimate", flags)


def give_up(reserved_pusd: int | None, source: str, flags: set[str]) -> Verdict:
    """Charge the worst case, because nobody can tell any more."""
    if reserved_pusd is None:
        return Verdict("settled", None, "none", frozenset(flags | {UNKNOWN}))
    return Verdict("settled", reserved_pusd, source, frozenset(flags))


def settle_looked_up(cost_pusd: int, flags: set[str], reserved_pusd: int | None, *, exact: bool) -> Verdict:
    """Book the provider's own record of the generation."""
    return _settled(cost_pusd, "generation", frozenset(flags - INEXACT), reserved_pusd, exact=exact)


def _settled(cost_pusd: int, source: str, flags: frozenset[str], reserved_pusd: int | None, *, exact: bool) -> Verdict:
    if not exact:
        flags |= {ROUNDED}
    if reserved_pusd is not None and cost_pusd > reserved_pusd:
        flags |= {OVER}
    return Verdict("settled", cost_pusd, source, flags)


def _doubtful_zero(usage: Usage, terms: Terms, price_usage: Callable[[Usage], int | None]) -> bool:
    """A cost of 0 for an answer that has a price; free models, own keys and cache hits are 0 by right."""
    if usage.cost_pusd != 0 or usage.is_byok or not usage.output_tokens:
        return False
    return terms.has_generations and bool(price_usage(usage))


def _certainly_unbilled(heard: Heard) -> bool:
    """The provider refused before it worked, or says in a 200 that it failed, leaving nothing that could be billed."""
    if heard.status is None:
        return False
    if heard.status >= 300:
        return True
    return heard.failed and not heard.content_seen and heard.generation_id is None
