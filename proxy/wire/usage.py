"""Usage: the tokens and money that an answer took, as the provider reports them.

read_usage() reads the plain form of an endpoint by itself; whatever does not add up, or has a key that the plain form
lacks, goes through token_classes.py, which knows the ways of all providers.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from proxy.core.counts import NO_COUNTS, Counts
from proxy.core.money import MAX_PUSD
from proxy.wire.amount import (
    NO_AMOUNT,
    Amount,
    CostProblem,
    amount_of,
    literal_of,
    read_amount,
    value_at,
    with_upstream,
)
from proxy.wire.token_classes import FELL, TokenClasses, found_elsewhere, read_token_classes
from proxy.wire.usage_shape import CHAT, EMBEDDINGS, MAX_TOKENS, MESSAGES, RESPONSES, STREAMED_RESPONSES, UsageShape

__all__ = [
    "CHAT",
    "EMBEDDINGS",
    "MAX_TOKENS",
    "MESSAGES",
    "NO_EXTRAS",
    "NO_USAGE",
    "RESPONSES",
    "STREAMED_RESPONSES",
    "ExtraCounts",
    "Usage",
    "UsageShape",
    "is_plain_part",
    "later",
    "read_usage",
    "with_cost",
    "with_doubt",
    "with_told_cost",
]

_BEHIND: Final = ("cost_details", "upstream_inference_cost")
TICKS: Final = "cost_in_usd_ticks"
_new_tuple = tuple.__new__  # read from its class it would take longer than the call
_PUSD_PER_TICK: Final = 100


class ExtraCounts(NamedTuple):
    """What few usages say.

    unnamed_tokens are those of the output that stand in the total alone: nobody says what they are. untold_life_tokens
    are those of counts.cache_write_tokens of which nobody says for how long they are kept. doubts names the rules of
    docs/concepts/ledger.md by which a contradiction was read; each is a flag of the row.
    """

    counts: Counts = NO_COUNTS
    unnamed_tokens: int = 0
    untold_life_tokens: int = 0
    doubts: frozenset[str] = frozenset()


NO_EXTRAS: Final = ExtraCounts()


class Usage(NamedTuple):
    """Counts are None where the provider reported none, or nonsense.

    input_tokens holds all of the prompt, those read from and written to a cache among them; output_tokens all that was
    written, reasoning among it. cost_pusd is what the request cost in all; None if no cost was given, or if it is
    doubtful, which cost_problem then names. cost_exact is False where the amount was finer than a pico-USD and rounded
    up. With is_byok the account's own key was used at the provider behind the provider, whose bill comes on top
    of the fee: upstream_pusd is that bill, and is in cost_pusd. Without is_byok it is what the provider behind charges
    the one before it, and no part of the sum: the cost is all. Both are None where nobody told.
    extras None: nothing of it was told, and nothing is odd.
    """

    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost_pusd: int | None
    cost_exact: bool
    cost_problem: CostProblem | None
    is_byok: bool | None
    upstream_pusd: int | None
    extras: ExtraCounts | None = None

    @property
    def doubts(self) -> frozenset[str]:
        """Return the rules by which contradictions in it were read."""
        return NO_EXTRAS.doubts if self.extras is None else self.extras.doubts


NO_USAGE: Final = Usage(None, None, None, None, None, True, None, None, None)
"""What stands for a usage that nobody told."""


def read_usage(message: Mapping[str, Any], raw: bytes, shape: UsageShape = CHAT) -> Usage | None:
    """Return the usage in message, the parse of raw; None if there is none, or nothing in it makes sense."""
    usage: Any = message.get(shape.first)
    if shape.second is not None:
        usage = usage.get(shape.second) if usage.__class__ is dict else None
    path = shape.usage
    if usage.__class__ is not dict:
        found = found_elsewhere(message)
        if found is None:
            return None
        path, usage = found
    # written out for each count: read for every answer, and a call takes longer than what it would do
    input_tokens = usage.get(shape.input_tokens)
    output_tokens = usage.get(shape.output_tokens)
    details = usage.get(shape.input_details)
    output_details = usage.get(shape.output_details)
    cached_tokens = reasoning_tokens = extras = None
    is_plain = (
        input_tokens.__class__ is int
        and output_tokens.__class__ is int
        and usage.get("total_tokens") == input_tokens + output_tokens
        and 0 <= input_tokens <= MAX_TOKENS
        and 0 <= output_tokens <= MAX_TOKENS
        and shape.plain_keys.issuperset(usage)
        and (
            details is None
            or (
                details.__class__ is dict
                and (cached_tokens := details.get(shape.cached_tokens)).__class__ is int
                and not any(details.values())
            )
            or is_plain_part(details, shape.cached_tokens, input_tokens)
        )
        and (
            output_details is None
            or (
                output_details.__class__ is dict
                and (reasoning_tokens := output_details.get(shape.reasoning_tokens)).__class__ is int
                and not any(output_details.values())
            )
            or is_plain_part(output_details, shape.reasoning_tokens, output_tokens)
        )
    )
    if not is_plain:
        cached_tokens = reasoning_tokens = None
        reckoned = read_token_classes(usage, shape)
        if reckoned is None or (reckoned.input_tokens is None and reckoned.output_tokens is None):
            if usage.get("cost") is None and TICKS not in usage:
                return None
            input_tokens = output_tokens = None
        if reckoned is not None:
            input_tokens, output_tokens, cached_tokens, reasoning_tokens = reckoned[:4]
            extras = _extras(reckoned)
    cost = usage.get("cost")
    if cost is None:
        total = NO_AMOUNT if TICKS not in usage else _ticks(usage, (TICKS,))
    elif cost.__class__ is float and (literal := literal_of(raw, b'"cost"', cost)) is not None:  # nearly every cost
        total = amount_of(literal)
    else:
        inner = ("cost", "total_cost") if cost.__class__ is dict and cost.get("total_cost") else ("cost",)  # Perplexity
        total = read_amount(message, raw, (*path, *inner))
    is_byok, behind, paid_pusd = usage.get("is_byok"), usage.get("cost_details"), None
    if is_byok is True:  # otherwise it is no part of the sum, and adding it would book it twice
        upstream = read_amount(message, raw, (*path, *_BEHIND))
        paid_pusd = upstream[0]
        total = with_upstream(total, upstream)
    elif is_byok is not False:
        is_byok = None
    pusd, exact, problem = total
    if paid_pusd is None and behind.__class__ is dict and (told := behind.get(_BEHIND[1])) is not None:
        # the same double is, but for digits beyond a pico-USD, the same amount: so it is in nearly every answer
        paid_pusd = pusd if told == cost else read_amount(message, raw, (*path, *_BEHIND))[0]
    fields = (
        input_tokens, output_tokens, cached_tokens, reasoning_tokens, pusd, exact, problem, is_byok, paid_pusd, extras
    )  # fmt: skip
    return _new_tuple(Usage, fields)  # what Usage(…) comes to, without the call between


def is_plain_part(details: Any, key: str | None, whole: int) -> bool:
    """Return whether all parts of a whole are 0, except perhaps the one under a key."""
    if details.__class__ is not dict:
        return False
    part = details.get(key)
    if part.__class__ is not int:
        return part is None and not any(details.values())
    if not part:
        return not any(details.values())
    return 0 < part <= whole and (len(details) == 1 or sum(map(bool, details.values())) == 1)


def _extras(reckoned: TokenClasses) -> ExtraCounts | None:
    extras = ExtraCounts(reckoned.counts, reckoned.unnamed_tokens, reckoned.untold_life_tokens, reckoned.doubts)
    return None if extras == NO_EXTRAS else extras


def with_doubt(usage: Usage, rule: str) -> Usage:
    """Return a usage with one more rule by which a contradiction was read."""
    extras = usage.extras or NO_EXTRAS
    return usage._replace(extras=extras._replace(doubts=extras.doubts | {rule}))


def with_cost(usage: Usage | None, message: Any, raw: bytes, paths: tuple[tuple[str, ...], ...]) -> Usage | None:
    """Return a usage with the cost at the first path of the message that holds one, and with no other.

    raw is the JSON of message. A decimal in quotes counts as a number.
    """
    for path in paths:
        found = _ticks(message, path) if path[-1] == TICKS else read_amount(message, raw, path, quoted=True)
        if found != NO_AMOUNT:
            pusd, exact, problem = found
            return (usage or NO_USAGE)._replace(
                cost_pusd=pusd, cost_exact=exact, cost_problem=problem, upstream_pusd=None
            )
    if usage is None:
        return None
    return usage._replace(cost_pusd=None, cost_exact=True, cost_problem=None, upstream_pusd=None)


def with_told_cost(usage: Usage | None, text: str) -> Usage | None:
    """Return a usage with the cost that a header tells; what is no decimal is left out."""
    pusd, exact, problem = amount_of(text.strip())
    if pusd is None and problem != "negative":
        return usage
    return (usage or NO_USAGE)._replace(cost_pusd=pusd, cost_exact=exact, cost_problem=problem, upstream_pusd=None)


def _ticks(message: Any, path: tuple[str, ...]) -> Amount:
    """Read what xAI tells: a whole number of 1e-10 USD."""
    ticks = value_at(message, path)
    if ticks is None:
        return NO_AMOUNT
    if ticks.__class__ is not int:
        return None, True, "not_a_number"
    if ticks < 0:
        return None, True, "negative"
    pusd = ticks * _PUSD_PER_TICK
    return (pusd, True, None) if pusd <= MAX_PUSD else (None, True, "too_large")


def later(before: Usage | None, now: Usage) -> Usage:
    """Return what two usages of one answer say together, now being the later one.

    What it leaves out stays. If a count or a cost falls the greater one is kept, and flagged.
    """
    if before is None:
        return now
    fell = False
    counts: list[int | None] = []
    for old, new in zip(before[:4], now[:4], strict=True):
        fell = fell or (old is not None and new is not None and new < old)
        counts.append(old if new is None else new if old is None else max(old, new))
    money = _later_money(before, now)
    fell = fell or (now.cost_pusd is not None and now.cost_pusd < (before.cost_pusd or 0))
    old_extras, new_extras = before.extras or NO_EXTRAS, now.extras or NO_EXTRAS
    extras: ExtraCounts | None = new_extras
    if old_extras != NO_EXTRAS or fell:
        greater = Counts._make(map(max, old_extras.counts, new_extras.counts))
        fell = fell or greater != new_extras.counts
        extras = ExtraCounts(
            greater,
            max(old_extras.unnamed_tokens, new_extras.unnamed_tokens),
            max(old_extras.untold_life_tokens, new_extras.untold_life_tokens),
            old_extras.doubts | new_extras.doubts | ({FELL} if fell else frozenset()),
        )
    return Usage._make((*counts, *money, None if extras == NO_EXTRAS else extras))


def _later_money(before: Usage, now: Usage) -> tuple[int | None, bool, CostProblem | None, bool | None, int | None]:
    """Return the fields from cost_pusd to upstream_pusd of the usage that tells the greater cost."""
    told = now
    if before.cost_pusd is not None and (now.cost_pusd is None or now.cost_pusd < before.cost_pusd):
        told = before
    return told[4:9]
