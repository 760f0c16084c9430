"""auto, the virtual model: for each request the models that can do the job, the best first, before anything is held."""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from proxy.core.errors import ApiError, CallerError, OwnError
from proxy.pipeline.admission.bookable_targets import ExcludedTarget, announce_excluded
from proxy.pipeline.context import RequestContext
from proxy.pipeline.routing.catalog import CatalogModel
from proxy.pipeline.services import Services
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.values.route import Route
from proxy.policy.model_choice import ChoiceRules, ChoiceWeights, ModelCandidate, choose_models, read_job_needs
from proxy.policy.pricing import read_facts


class AutoChoice(NamedTuple):
    """The route with the models that were chosen, why each stands where it does, and why others are left out.

    reasons: by provider and model.
    """

    route: Route
    reasons: dict[tuple[str, str], str]
    left_out: tuple[ExcludedTarget, ...]


def pick_models(context: RequestContext, route: Route, services: Services) -> Route:
    """Return the route of auto with the models that it picks; every answer names those that it left out.

    Raises CallerError 400 where none of them can do what the request needs.
    """
    choice = auto_choice(context, route, services)
    announce_excluded(context, choice.left_out)
    return choice.route


def auto_choice(context: RequestContext, route: Route, services: Services) -> AutoChoice:
    """Return what auto picks for a request; raises ApiError where that is nothing."""
    snapshot = context.snapshot
    models = services.catalog.of_auto(services.model_lists, snapshot)
    facts = read_facts(route.body, context.size_bytes, route.endpoint.kind)
    needs = read_job_needs(route.body, facts, route.endpoint.kind)
    candidates = [candidate_of(one, services, snapshot) for one in models]
    choice = choose_models(candidates, needs, facts, _rules(context, snapshot))
    if not choice.ranked:
        raise _none_fits(models, choice.missing, [one.reason for one in choice.rejected])
    targets = tuple(models[one.position].target for one in choice.ranked)
    words = ["; ".join(one.reasons) or "as configured" for one in choice.ranked]
    reasons = {(one.provider, one.model): text for one, text in zip(targets, words, strict=True)}
    left_out = tuple(ExcludedTarget(models[one.position].target, one.reason) for one in choice.rejected)
    return AutoChoice(replace(route, targets=targets), reasons, left_out)


def _rules(context: RequestContext, snapshot: Snapshot) -> ChoiceRules:
    auto = snapshot.settings.auto
    return ChoiceRules(
        weights_of(snapshot), needs_price=context.identity.allowance.has_hard_cost, models_max=auto.targets_max
    )


def weights_of(snapshot: Snapshot) -> ChoiceWeights:
    """Return how much each kind of figure counts, as configured."""
    weights = snapshot.settings.auto.weights
    return ChoiceWeights(float(weights.price), float(weights.speed), float(weights.quality))


def candidate_of(model: CatalogModel, services: Services, snapshot: Snapshot) -> ModelCandidate:
    """Return a model with how it has performed lately."""
    health = services.health.of(snapshot.providers[model.target.provider])
    recent = health.known(model.target.model)
    return ModelCandidate(
        model.name,
        model.price,
        model.facts.context_tokens,
        model.facts.supports,
        None if recent is None else recent.latency_ms,
        None if recent is None else recent.error_rate,
        health.state(model.target.model),
        model.quality,
    )


def _none_fits(models: Sequence[CatalogModel], missing: Sequence[str], reasons: Sequence[str]) -> ApiError:
    if not models:
        return OwnError(
            503,
            "no_models_known",
            "auto has no models to pick from: none of auto.models is on a list of a provider. Operator: tollkeeper"
            " models list.",
            retry_after_s=5,
        )
    if not missing:
        text = f"None of the {len(models)} models of auto can be asked: {', '.join(sorted(set(reasons)))}."
        return CallerError(400, "no_model_fits", text, param="model")
    text = f"None of the {len(models)} models of auto takes {' and '.join(missing)}. Name a model that does."
    return CallerError(400, "no_model_fits", text, param="model")
