"""The answer for an unknown model: 404 with the name that was probably meant."""

from collections.abc import Iterable, Iterator, Sequence

from proxy.core.errors import CallerError
from proxy.pipeline.admission.limit_errors import not_priced
from proxy.pipeline.context import RequestContext
from proxy.pipeline.services import Services
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.values.allowance import Allowance
from proxy.pipeline.values.attempt import Attempt
from proxy.policy.failure import words_of
from proxy.policy.failure_table import decide
from proxy.policy.nearest import nearest
from proxy.providers.model_lists import ModelListing

_UNKNOWN_THERE = frozenset({"no_model", "not_here"})  # rows of the table of failures
_NAME_CHARS_MAX = 100


def unpriced(context: RequestContext, provider: str, model: str, services: Services) -> CallerError:
    """Return the refusal, under a hard cost limit, of a model that has no price after its list was fetched anew.

    402 if the list has it or is unknown, or has nothing like it: then it may be a brand-new model.
    """
    if not lacks(services.model_lists.listing(provider), model):
        return not_priced(model)
    snapshot = context.snapshot
    found = not_found(_full(provider, model, snapshot), names(services, snapshot), context.identity.allowance)
    return found or not_priced(model)


def refused_there(context: RequestContext, attempts: Sequence[Attempt], services: Services) -> CallerError | None:
    """Return what to answer in place of the only provider's word that it does not know a model; None: pass that on."""
    attempt = attempts[-1]
    failure = attempt.failure
    if failure is None or len(attempts) > 1 or context.reply is not None:
        return None
    is_unknown = decide(failure, services.clock.now_ms()).case in _UNKNOWN_THERE
    if not is_unknown or "model" not in words_of(failure.error).text:
        return None
    provider, model, snapshot = attempt.provider.name, attempt.target.model, context.snapshot
    if not lacks(services.model_lists.listing(provider), model):
        return None
    there = (_full(provider, other, snapshot) for other in services.model_lists.listing(provider).models)
    return not_found(_full(provider, model, snapshot), there, context.identity.allowance)


def lacks(listing: ModelListing, model: str) -> bool:
    """Return whether a list is known and lacks the model; a variant like :free or @preset/mine counts as its model."""
    models = listing.models
    return bool(models) and model not in models and model.partition("@")[0].partition(":")[0] not in models


def not_found(name: str, others: Iterable[str], allowance: Allowance) -> CallerError | None:
    """Return 404 with the nearest of the others that the user may ask for; None where there is none."""
    hint = nearest(name, filter(allowance.allows, others))
    if hint is None or hint == name:
        return None
    return CallerError(
        404,
        "model_not_found",
        f'There is no model "{name[:_NAME_CHARS_MAX]}". Did you mean "{hint}"?'
        " GET /v1/models lists all that you may use.",
        param="model",
        should_retry=False,
    )


def names(services: Services, snapshot: Snapshot) -> Iterator[str]:
    """Return every name that may be asked for: presets, then models, those of further providers with their prefix."""
    yield from snapshot.presets
    for provider in snapshot.providers:
        for model in services.model_lists.listing(provider).models:
            yield _full(provider, model, snapshot)


def _full(provider: str, model: str, snapshot: Snapshot) -> str:
    """Return a model's name as a caller writes it: those of the first provider go without a prefix."""
    return model if provider == next(iter(snapshot.providers)) else f"{provider}/{model}"
