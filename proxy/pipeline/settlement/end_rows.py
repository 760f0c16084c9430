"""What the rows of an end hold: of one attempt, of what its usage counts, and tokens x price. Pure."""

from collections.abc import Iterable
from typing import Final

from proxy.core.counts import NO_COUNTS, Counts
from proxy.core.name_cache import NameCache
from proxy.core.text import fit_text
from proxy.pipeline.values.attempt import Attempt
from proxy.pipeline.values.settlement import ASSUMED, CONTRADICTED, UNFINISHED, UNTOLD_LIFE, PricedUsage, Settlement
from proxy.policy.pricing import Price, charge
from proxy.policy.quota import joined, undated
from proxy.storage.rows import AttemptEnd, OpenRow
from proxy.wire.usage import NO_EXTRAS, NO_USAGE, ExtraCounts, Usage

_MODEL_CHARS_MAX = 256
USUAL_REASONS: Final = frozenset((None, "stop", "length", "tool_calls"))  # why nearly every answer ended


def unsent_end(request_id: int, n: int) -> AttemptEnd:
    """Close a further attempt that was made durable, but was never begun."""
    return AttemptEnd(
        request_id=request_id,
        n=n,
        outcome="not_sent",
        status=None,
        served_model=None,
        served_by=None,
        generation_id=None,
        input_tokens=None,
        output_tokens=None,
        cached_tokens=None,
        reasoning_tokens=None,
        cost_pusd=0,
        cost_source="none",
        ttft_ms=None,
        duration_ms=None,
    )


def attempt_end(request_id: int, attempt: Attempt, settlement: Settlement, now_s: float) -> AttemptEnd:
    attempt_result = attempt.result
    told = usage = attempt_result.usage or NO_USAGE
    if not settlement.flags.isdisjoint(CONTRADICTED):
        told, usage = of_contradicted(usage, settlement), NO_USAGE
    elif is_half(usage):
        usage = NO_USAGE
    return AttemptEnd(
        request_id=request_id,
        n=attempt.n,
        outcome=attempt_result.error or "ok",
        status=attempt_result.status,
        served_model=short(attempt_result.model),
        served_by=short(attempt_result.served_by),
        generation_id=short(attempt_result.generation_id),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cached_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        counts=None if usage.extras is None else counted(usage.extras),
        cost_pusd=settlement.cost_pusd,
        cost_source=settlement.cost_source,
        is_byok=told.is_byok,
        upstream_cost_pusd=told.upstream_pusd,
        ttft_ms=None
        if attempt_result.first_byte_s is None
        else int((attempt_result.first_byte_s - attempt.started_s) * 1000),
        duration_ms=int((now_s - attempt.started_s) * 1000),
    )


def names_of(attempt: Attempt) -> list[str]:
    """Return what an attempt may be paid for, as provider/model: what answered where that is known for sure.

    A provider that falls back by itself and does not say on what may have asked any of the models that it was handed.
    """
    target, answered = attempt.target, attempt.result.model
    if answered is None:
        models = (target.model, *target.handed)
    else:
        models = (answered,) if answered in target.handed else (target.model, answered)
    return [f"{attempt.provider.name}/{model}" for model in models]


def fell_back(row: OpenRow, attempt: Attempt) -> int:
    """Return 1 where an attempt went to another target than the first one of its request."""
    return int((row.target_provider, row.target_model) != (attempt.provider.name, attempt.target.model))


def other_models(names: Iterable[str], provider: str | None, model: str | None) -> str | None:
    """Return the names besides provider and model as a row has them; None where there are none."""
    own = (f"{provider}/{model}", f"{provider}/{undated(model or '')}")
    return joined(name for name in names if name and name not in own) or None


def is_half(usage: Usage) -> bool:
    """Return whether a total was not reported: token limits then count what was reserved, not the other total."""
    return usage.input_tokens is None or usage.output_tokens is None


def of_contradicted(usage: Usage, settlement: Settlement) -> Usage:
    """Return what still holds of a usage whose counts are not all that was taken: who paid, and a whole amount."""
    return usage._replace(upstream_pusd=None) if UNFINISHED in settlement.flags else usage


def counted(extras: ExtraCounts) -> Counts | None:
    """Return the rarer counts of an answer; None where all are 0."""
    return None if extras.counts == NO_COUNTS else extras.counts


def uncounted_tokens(settlement: Settlement, reserved_tokens: int | None) -> int:
    """Return the tokens that token limits count for a charged request whose tokens nobody counted.

    A start tells by the columns of the row that there is no count.
    """
    return (reserved_tokens or 0) if settlement.state == "settled" else 0


def price_usage(price: Price | None, usage: Usage, images: int = 0) -> PricedUsage | None:
    """Return tokens x price, rounded up; None without a price or without both counts. images: those of the prompt."""
    if price is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    cached, reasoning = usage.cached_tokens or 0, usage.reasoning_tokens or 0
    if usage.extras is None and not images:
        return PricedUsage(charge(price, usage.input_tokens, usage.output_tokens, cached, reasoning).pusd)
    counts, unnamed, untold_life, _ = usage.extras or NO_EXTRAS
    if images > counts.images:
        counts = counts._replace(images=images)
    charged = charge(
        price,
        usage.input_tokens,
        usage.output_tokens,
        cached,
        reasoning,
        counts=counts,
        unnamed_tokens=unnamed,
        untold_life_tokens=untold_life,
    )
    flags = ((ASSUMED, charged.is_assumed), (UNTOLD_LIFE, charged.is_untold))
    return PricedUsage(charged.pusd, frozenset(flag for flag, holds in flags if holds))


def word(text: str | None) -> str | None:
    """Return a provider's word; None for a text, which could quote an answer."""
    return text if text is not None and len(text) <= 64 and text.replace("_", "").replace("-", "").isalnum() else None


def short(text: str | None) -> str | None:
    """Return a name as a row may hold it."""
    if text is None or (len(text) <= _MODEL_CHARS_MAX and text.isascii() and text.isprintable()):
        return text  # nearly always
    return fit_text(text, _MODEL_CHARS_MAX)


short_names: Final = NameCache(short)  # of models and who serves them: few, and the same ones again and again
