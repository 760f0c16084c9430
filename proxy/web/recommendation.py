"""Which models suit a job: those that can do it, the best first, each with its reasons, and why the others do not."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from proxy.core.errors import CallerError
from proxy.core.money import MoneyError, pusd_to_usd, usd_to_pusd
from proxy.pipeline.routing.auto import candidate_of, weights_of
from proxy.pipeline.routing.catalog import CatalogModel
from proxy.pipeline.services import Services
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.values.allowance import Allowance
from proxy.policy.model_choice import (
    NEEDS,
    ChoiceRules,
    JobNeeds,
    ModelCandidate,
    RankedModel,
    choose_models,
    mix_text,
    read_job_needs,
)
from proxy.policy.model_features import ModelFeatures
from proxy.policy.nearest import nearest
from proxy.policy.pricing import BodyFacts, read_facts
from proxy.wire.body import BodyError, dump_body
from proxy.wire.endpoint import CHAT

_OTHER_WORDS = {
    "pictures": "vision",
    "images": "vision",
    "sound": "audio",
    "pdf": "files",
    "json_object": "json",
    "json_schema": "structured",
    "schema": "structured",
    "thinking": "reasoning",
}
_COUNT = re.compile(r"([1-9][0-9]{0,8})([kKM]?)", re.ASCII)
_FACTORS = {"": 1, "k": 1000, "K": 1000, "M": 10**6}
_AUSD_A_THOUSAND_PER_PUSD_A_MILLION = 1000  # a pico-USD is a million atto-USD, and a million tokens a thousand thousand
# The usual blend of three to one for a thousand tokens, at four bytes a token: what a job is where nobody says.
_TYPICAL = BodyFacts(3000, 250)
_LEFT_OUT_MAX = 1000


class Job(NamedTuple):
    """What somebody wants done; facts: for its price."""

    needs: JobNeeds
    facts: BodyFacts = _TYPICAL


def read_job(needs: str | None, context: str | None, body: Mapping[str, Any] | None = None) -> Job:
    """Return the job of a list of needs, a context length such as 200k, and a request's body; raises CallerError 400.

    All are joined: what the body needs, and what is named beside it.
    """
    features = frozenset(_features(needs))
    tokens = 0 if context is None else read_count(context, "context")
    if body is None:
        return Job(JobNeeds(features | {"text"}, tokens))
    checked = {**body, "model": "auto"}
    try:
        CHAT.check(checked)
    except BodyError as error:
        raise CallerError(400, error.code, f"job: {error}", param=error.param) from None
    facts = read_facts(checked, len(dump_body(checked)), CHAT.kind)
    found = read_job_needs(checked, facts)
    return Job(JobNeeds(found.features | features, max(found.context_tokens, tokens)), facts)


def read_count(text: str, name: str) -> int:
    """Return a number of tokens written as 200000 or 200k; raises CallerError 400."""
    found = _COUNT.fullmatch(text.strip())
    if found is None:
        raise CallerError(400, "invalid_value", f"{name}: a number of tokens like 200000 or 200k.", param=name)
    return int(found[1]) * _FACTORS[found[2]]


def read_max_price(text: str) -> int:
    """Return USD per million tokens as atto-USD for a thousand; raises CallerError 400."""
    try:
        pusd, _ = usd_to_pusd(text.strip().removeprefix("$"))
    except MoneyError:
        text = "max_price: USD for a million tokens, like $2 (three of input to one of output)."
        raise CallerError(400, "invalid_value", text, param="max_price") from None
    return pusd * _AUSD_A_THOUSAND_PER_PUSD_A_MILLION


def _features(needs: str | None) -> Iterable[str]:
    for word in (needs or "").split(","):
        name = word.strip().lower()
        found = _OTHER_WORDS.get(name, name)
        if not name:
            continue
        if found not in NEEDS:
            hint = nearest(name, [*NEEDS, *_OTHER_WORDS])
            did_you = f' Did you mean "{hint}"?' if hint else ""
            text = f"needs: {name[:40]!a} cannot be asked for.{did_you} There are: {', '.join(NEEDS)}."
            raise CallerError(400, "invalid_value", text, param="needs")
        yield found


def recommendation(
    job: Job, max_mix_ausd: int | None, allowance: Allowance | None, services: Services, snapshot: Snapshot
) -> dict[str, Any]:
    """Return the models for a job as JSON values; allowance: of whom they are for, None for anybody."""
    models = [
        one
        for one in services.catalog.models(services.model_lists, snapshot)
        if allowance is None or allowance.allows(one.name)
    ]
    candidates = [candidate_of(one, services, snapshot) for one in models]
    needs_price = allowance is not None and allowance.has_hard_cost
    rules = ChoiceRules(weights_of(snapshot), max_mix_ausd, needs_price=needs_price, only_known=True)
    choice = choose_models(candidates, job.needs, job.facts, rules)
    rejected = sorted(choice.rejected, key=lambda one: models[one.position].name)
    return {
        "job": {
            "needs": sorted(job.needs.features),
            "context_tokens": job.needs.context_tokens,
            "body_bytes": job.facts.size_bytes,
        },
        "models": [
            {"rank": n, **_ranked(models[one.position], candidates[one.position], one)}
            for n, one in enumerate(choice.ranked, 1)
        ],
        "left_out": [{"name": models[one.position].name, "reason": one.reason} for one in rejected[:_LEFT_OUT_MAX]],
        "missing": list(choice.missing),
    }


def _ranked(model: CatalogModel, candidate: ModelCandidate, ranked: RankedModel) -> dict[str, Any]:
    return {
        **facts_json(model, candidate),
        "cost_usd": None if ranked.cost_pusd is None else pusd_to_usd(ranked.cost_pusd),
        "cost_pusd": ranked.cost_pusd,
        "reasons": list(ranked.reasons),
    }


def facts_json(model: CatalogModel, candidate: ModelCandidate) -> dict[str, Any]:
    """Return what is known of a model: prices in USD per million tokens, None where a list does not say."""
    price = model.price
    return {
        "name": model.name,
        "provider": model.target.provider,
        "model": model.target.model,
        "usd_per_million_tokens": None if price is None else mix_text(price),
        "context_tokens": model.facts.context_tokens,
        "output_tokens": model.facts.output_tokens,
        "abilities": abilities_json(model.facts.supports),
        "latency_ms": None if candidate.latency_ms is None else round(candidate.latency_ms),
        "error_rate": None if candidate.error_rate is None else round(candidate.error_rate, 4),
        "breaker": candidate.breaker,
        "quality": model.quality,
    }


def abilities_json(supports: ModelFeatures) -> dict[str, bool | None]:
    """Return what a model can do by its list; None: the list does not say."""
    return dict(supports._asdict())
