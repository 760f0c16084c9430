"""Which models can do a job, and which of them first: by its price there, speed, errors and the operator's order. Pure.

What a job needs decides whether a model may do it: one whose list says that it cannot is left out, one whose list says
nothing may. Those that may are put in order by penalty points, the fewest first:

    price    one for each doubling of what the job costs at the cheapest of them
    speed    one for each doubling of the time to the first content at the fastest of them; none where no time is known
    errors   one for each halving of the share of attempts that succeed
    quality  four between the best of the operator's list and the worst; as the worst, where the list lacks it

Each kind is multiplied by its weight. A hundredth of a US cent and a tenth of a second are added to the figures first:
what nobody would notice decides nothing. Equal inputs give equal orders: ties stay as they were handed in.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct

from proxy.core.glob import fits
from proxy.core.money import PUSD_PER_USD, pusd_to_usd
from proxy.policy.breaker import State
from proxy.policy.model_features import NOTHING_SAID, ModelFeatures
from proxy.policy.pricing.body_facts import BodyFacts
from proxy.policy.pricing.estimate import estimate_pusd, estimated_tokens
from proxy.policy.pricing.price import AUSD_PER_USD, Price
from proxy.policy.target_order import mix_ausd

NEEDS: Final[Mapping[str, str]] = {  # as fields of ModelFeatures -> in words
    "tools": "tools",
    "vision": "images",
    "audio": "audio",
    "files": "files",
    "json": "a JSON response_format",
    "structured": "structured output",
    "reasoning": "reasoning",
    "text": "answers in text",
    "embeddings": "embeddings",
}
_NO_MATTER_PUSD: Final = PUSD_PER_USD // 10_000
_NO_MATTER_MS: Final = 100.0
_QUALITY_POINTS: Final = 4.0
_SUCCESS_MIN: Final = 0.01
_KINDS: Final = {"json_object": "json", "json_schema": "structured"}


class JobNeeds(Struct, frozen=True):
    """What a job asks of a model: names of NEEDS, and the tokens of prompt and answer together that it takes."""

    features: frozenset[str] = frozenset()
    context_tokens: int = 0


class ModelCandidate(NamedTuple):
    """A model with what is known of it. quality: 0 to 1, by the operator's list; None: the list lacks it.

    latency_ms: to the first content, recently; error_rate: 0 to 1, recently.
    """

    name: str
    price: Price | None = None
    context_tokens: int | None = None
    supports: ModelFeatures = NOTHING_SAID
    latency_ms: float | None = None
    error_rate: float | None = None
    breaker: State = "closed"
    quality: float | None = None


class ChoiceWeights(Struct, frozen=True):
    price: float = 1.0
    speed: float = 1.0
    quality: float = 1.0


class ChoiceRules(NamedTuple):
    """How models are chosen. max_mix_ausd: the most that a thousand tokens may cost, three of input to one of output.

    needs_price: a model without a price is left out. only_known: one is left out too whose list does not say that it
    can do the job. models_max: how many are kept; None: all.
    """

    weights: ChoiceWeights = ChoiceWeights()
    max_mix_ausd: int | None = None
    needs_price: bool = False
    only_known: bool = False
    models_max: int | None = None


class RankedModel(Struct, frozen=True):
    """A candidate by its position in the input, what the job costs there (None: not known), and why it stands here."""

    position: int
    cost_pusd: int | None
    points: float
    reasons: tuple[str, ...]


class RejectedModel(Struct, frozen=True):
    position: int
    reason: str


class ModelChoice(Struct, frozen=True):
    """The models that may do a job, the best first, and why the others may not. missing: needs that none fulfils."""

    ranked: tuple[RankedModel, ...]
    rejected: tuple[RejectedModel, ...]
    missing: tuple[str, ...] = ()


def read_job_needs(body: Mapping[str, Any], facts: BodyFacts, kind: str = "chat") -> JobNeeds:
    """Return what a checked body needs; kind: of its endpoint."""
    wanted = {
        "tools": facts.has_tools,
        "vision": facts.images > 0,
        "audio": facts.has_audio,
        "files": facts.has_files,
        "reasoning": facts.thinks or facts.min_output_tokens > 1024,
        "embeddings": kind == "embeddings",
        "text": kind != "embeddings",
    }
    form = _form(body)
    features = {name for name, is_wanted in wanted.items() if is_wanted} | ({_KINDS[form]} if form in _KINDS else set())
    prompt, answer = estimated_tokens(facts, None)
    return JobNeeds(frozenset(features), prompt + (answer if facts.max_output_tokens is not None else 0))


def _form(body: Mapping[str, Any]) -> str | None:
    """Return the type of the form that an answer must have, in the words of whatever endpoint."""
    for name in ("response_format", "text", "output_config"):
        found = body.get(name)
        if not isinstance(found, Mapping):
            continue
        inner = found if name == "response_format" else found.get("format")
        kind = inner.get("type") if isinstance(inner, Mapping) else None
        if isinstance(kind, str):
            return kind
    return None


def choose_models(
    candidates: Sequence[ModelCandidate], needs: JobNeeds, facts: BodyFacts, rules: ChoiceRules
) -> ModelChoice:
    """Return the models for a job in order, and why others are left out."""
    rejected = [
        RejectedModel(n, why) for n, one in enumerate(candidates) if (why := _unfit(one, needs, rules)) is not None
    ]
    out = {one.position for one in rejected}
    able = [n for n in range(len(candidates)) if n not in out]
    shut = [n for n in able if candidates[n].breaker == "open"]
    if len(shut) < len(able):  # else whoever is left may be well again
        rejected += [RejectedModel(n, "its breaker is open") for n in shut]
        able = [n for n in able if n not in shut]
    ranked = sorted(
        _ranked(candidates, able, facts, rules.weights), key=lambda one: (one.cost_pusd is None, one.points)
    )
    kept = ranked if rules.models_max is None else ranked[: rules.models_max]
    rejected += [RejectedModel(one.position, f"not among the best {rules.models_max}") for one in ranked[len(kept) :]]
    return ModelChoice(tuple(kept), tuple(rejected), () if able else _missing(candidates, needs))


def lacking(needs: JobNeeds, supports: ModelFeatures) -> list[str]:
    """Return in words what a job needs and a model does not have, by its list."""
    return [words for name, words in NEEDS.items() if name in needs.features and getattr(supports, name) is False]


def _unfit(candidate: ModelCandidate, needs: JobNeeds, rules: ChoiceRules) -> str | None:
    """Return why a model may not do the job; None if it may."""
    missing = lacking(needs, candidate.supports)
    if missing:
        return f"it does not take {' and '.join(missing)}"
    context = candidate.context_tokens
    if context is not None and needs.context_tokens > context:
        return f"its context of {context} tokens is too small for about {needs.context_tokens}"
    if rules.only_known and (unknown := _unknown(candidate, needs)):
        return f"its list does not say whether it takes {' and '.join(unknown)}"
    price = candidate.price
    if price is None:
        return "its price is not known" if rules.needs_price or rules.max_mix_ausd is not None else None
    if rules.max_mix_ausd is not None and mix_ausd(price) > rules.max_mix_ausd:
        return f"{mix_text(price)} USD per million tokens is too much"
    return None


def _unknown(candidate: ModelCandidate, needs: JobNeeds) -> list[str]:
    """Return in words what a list leaves open; that a model writes text hardly any list says."""
    names = [name for name in NEEDS if name in needs.features and name != "text"]
    found = [NEEDS[name] for name in names if getattr(candidate.supports, name) is None]
    is_long = candidate.context_tokens is None and needs.context_tokens > 0
    return [*found, *([f"{needs.context_tokens} tokens"] if is_long else [])]


def mix_text(price: Price) -> str:
    """Return what a million tokens cost in USD, three of input to one of output, with four digits that count."""
    usd = mix_ausd(price) * 1000 / AUSD_PER_USD  # shown only, and compared as an integer
    return f"{usd:.4g}"


def _ranked(
    candidates: Sequence[ModelCandidate], able: Sequence[int], facts: BodyFacts, weights: ChoiceWeights
) -> list[RankedModel]:
    costs = {n: estimate_pusd(price, facts) for n in able if (price := candidates[n].price) is not None}
    times = {n: ms for n in able if (ms := candidates[n].latency_ms) is not None}
    least_pusd, least_ms = min(costs.values(), default=0), min(times.values(), default=0.0)
    found = []
    for n in able:
        one, cost = candidates[n], costs.get(n)
        reasons, points = [], 0.0
        if cost is None:
            reasons.append("its price is not known")
        else:
            points += weights.price * math.log2((cost + _NO_MATTER_PUSD) / (least_pusd + _NO_MATTER_PUSD))
            reasons.append(f"about {pusd_to_usd(cost)} USD for this job")
        if n in times:
            points += weights.speed * math.log2((times[n] + _NO_MATTER_MS) / (least_ms + _NO_MATTER_MS))
            reasons.append(f"{times[n]:.0f} ms to the first content")
        if one.error_rate:
            points -= math.log2(max(1 - one.error_rate, _SUCCESS_MIN))
            reasons.append(f"{one.error_rate:.0%} errors lately")
        points += weights.quality * _QUALITY_POINTS * (1 - (one.quality or 0.0))
        if one.quality is not None:
            reasons.append(f"quality {one.quality:.2f}")
        found.append(RankedModel(n, cost, points, tuple(reasons)))
    return found


def _missing(candidates: Sequence[ModelCandidate], needs: JobNeeds) -> tuple[str, ...]:
    """Return the needs that no candidate fulfils; where each is fulfilled by some, all that none fulfils together."""
    words = [name for name in NEEDS if name in needs.features]
    alone = [NEEDS[name] for name in words if all(getattr(one.supports, name) is False for one in candidates)]
    long = [f"a context of about {needs.context_tokens} tokens"] if needs.context_tokens else []
    if all(needs.context_tokens > (one.context_tokens or 0) for one in candidates):
        alone += long
    return tuple(alone or [*(NEEDS[name] for name in words if name != "text"), *long])


def quality_of(names: Sequence[str], scores: Sequence[tuple[str, float]]) -> float | None:
    """Return the quality of a model, by the first pattern that fits any of its names; None: none fits."""
    for pattern, score in scores:
        if any(name == pattern or fits(name, pattern) for name in names):
            return score
    return None
