"""What an attempt or a request cost, and how sure that is."""

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from proxy.wire.usage import Usage

State = Literal["pending", "settled", "released"]

# the words of requests.flags, in docs/concepts/ledger.md
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
UNFINISHED = "usage_not_final"  # something that costs came after the usage, or its end did not
ZERO = "usage_zero"  # no output was counted, though content came
TOO_SMALL = "usage_too_small"  # no tokenizer makes so few tokens of what came
ASSUMED = "price_assumed"  # something was counted that has no price of its own
FEE = "request_price"  # the cost holds what the operator asks for each request, beside what the provider charges
CHECKS = "check_"  # and the name of one that a preset asks for and the answer does not pass
STOPPED = "stopped"  # the operator cut it off
DOWNGRADED = "downgraded"  # a limit, the operator or an alert sent it to a preset instead
UNTOLD_LIFE = "cache_life_untold"  # nobody says for how long a cache keeps it: the dearer price

CONTRADICTED = frozenset({UNFINISHED, ZERO, TOO_SMALL})  # the usage is not what it cost: only the least of it
INEXACT = frozenset(
    {UNMETERED, UNPRICED, DOUBTFUL, *CONTRADICTED}
)  # they say why there was no figure, and go where one is found


class PricedUsage(NamedTuple):
    """Tokens x price, and the flags of what the price list does not say."""

    pusd: int
    flags: frozenset[str] = frozenset()


PriceUsage = Callable[[Usage], PricedUsage | None]
"""Gives tokens x price, or None without a price or without both counts."""


class Settlement(Struct, frozen=True, gc=False):
    """The figure for a request. cost_pusd None stands with state pending, or where nobody can tell any more."""

    state: State
    cost_pusd: int | None
    cost_source: str
    flags: frozenset[str]


class BillingTerms(Protocol):
    """What a provider's dialect says about money (providers/provider.py); settle() is pure, and needs no more of it.

    reports_cost: the cost in its answers is what is charged. takes_cost: it is, where no price is known.
    """

    reports_cost: bool
    takes_cost: bool
    has_generations: bool
