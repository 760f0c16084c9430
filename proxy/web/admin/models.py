"""/admin/v1/models: what may be asked and at what price, what each can do, and which suits a job best."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field

from proxy.config.model import ModelSettings
from proxy.config.overlay import CONFIG
from proxy.config.show import given_json
from proxy.core.errors import CallerError
from proxy.core.loop_turn import LoopTurn
from proxy.core.money import pusd_to_usd
from proxy.pipeline.routing.auto import candidate_of
from proxy.pipeline.routing.catalog import CatalogModel
from proxy.pipeline.routing.targets import disabled_by
from proxy.pipeline.services import Services
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.values.allowance import Allowance
from proxy.pipeline.values.route import Target
from proxy.policy.model_choice import lacking
from proxy.policy.model_rules import ModelRules
from proxy.policy.target_order import mix_ausd
from proxy.providers.provider import ProviderRow
from proxy.storage.models import check_model, no_model
from proxy.storage.stored_settings import without_none
from proxy.web.admin.etag import etag_of
from proxy.web.admin.route import AdminAnswer, AdminBody, AdminQuery, AdminRequest, AdminRoute, Role
from proxy.web.explain import identity_of, stored_user_row
from proxy.web.recommendation import facts_json, read_job, read_max_price, recommendation

_NEEDS = "Names by commas: tools, vision, audio, files, json, structured, reasoning, text, embeddings."
_MAX_PRICE = "USD for a million tokens, three of input to one of output, like $2."
_CONTEXT = "The least context, in tokens: 200000 or 200k."


class ModelFigures(BaseModel):
    """What is known of a model. A list that does not say something leaves null."""

    name: str = Field(description="As callers write it.")
    provider: str
    model: str
    usd_per_million_tokens: str | None = Field(description="Three of input to one of output, with all fees.")
    context_tokens: int | None
    output_tokens: int | None
    abilities: dict[str, bool | None]
    latency_ms: int | None = Field(description="To the first content, recently.")
    error_rate: float | None = Field(description="Of recent attempts, 0 to 1.")
    breaker: str
    quality: float | None = Field(description="By auto.quality, 0 to 1.")


class ModelEntry(BaseModel):
    """A listed model, or a name of models: with what is said under that very name (settings)."""

    name: str
    enabled: bool
    disabled_by: str | None = Field(description="The setting that disables it.")
    listed: bool = Field(description="It is on the list of a provider; figures are null where it is not.")
    figures: ModelFigures | None
    request_price_usd: str | None = Field(description="What each request costs on top.")
    request_price_pusd: int | None
    settings: dict[str, Any] = Field(description="What is said under this name, in the words of the configuration.")
    source: Literal["config", "database"] | None = Field(description="Who says it first; null: nothing is said.")


class ModelFilter(AdminQuery):
    """Which models."""

    provider: str | None = None
    user: str | None = Field(None, description="Only those that this user may ask for.")
    needs: str | None = Field(None, description=_NEEDS)
    max_price: str | None = Field(None, description=_MAX_PRICE)
    context: str | None = Field(None, description=_CONTEXT)
    enabled: bool | None = None


class ModelChanges(AdminBody):
    """What to change under a name; null takes a field out, what is missing stays."""

    enabled: bool | None = None
    request_price: str | None = Field(None, description="USD, like 0.01.")
    price: dict[str, Any] | None = Field(None, description="As in the configuration: input, output and so on.")


class JobFilter(AdminQuery):
    """A job in a few words."""

    needs: str | None = Field(None, description=_NEEDS)
    context: str | None = Field(None, description=_CONTEXT)
    max_price: str | None = Field(None, description=_MAX_PRICE)
    user: str | None = Field(None, description="Whom it is for.")


class JobBody(AdminBody):
    """A job: what JobFilter says, and the body of a chat completion to be done (model is not needed)."""

    needs: str | None = None
    context: str | None = None
    max_price: str | None = None
    user: str | None = None
    job: dict[str, Any] | None = None


class RankedEntry(ModelFigures):
    """A model that can do the job."""

    rank: int
    cost_usd: str | None = Field(description="About what the job costs there.")
    cost_pusd: int | None
    reasons: list[str]


class LeftOutModel(BaseModel):
    """A model that is not recommended."""

    name: str
    reason: str


class ModelRecommendation(BaseModel):
    """Models for a job, the best first. missing: needs that no model fulfils, where none can do it."""

    job: dict[str, Any]
    models: list[RankedEntry]
    left_out: list[LeftOutModel]
    missing: list[str]


class _Place(NamedTuple):
    services: Services
    snapshot: Snapshot


def _place(request: AdminRequest) -> _Place:
    services = request.deps.services
    return _Place(services, services.live.current)


class _ListedModel(NamedTuple):
    """A model of a provider's list, as callers name it; what is said of it is looked up where it is needed."""

    name: str
    provider: ProviderRow
    target: Target

    def catalog_model(self, place: _Place) -> CatalogModel:
        lists, (name, provider, target) = place.services.model_lists, self
        price, facts = lists.price(provider, target.model), lists.facts(provider, target.model)
        return CatalogModel(name, target, price, facts, None)


def _all(place: _Place) -> dict[str, _ListedModel | None]:
    """Return every listed model by the name that callers write, and every other name of which something is said."""
    found: dict[str, _ListedModel | None] = {one.name: one for one in _listed(place)}
    for name in place.snapshot.settings.models:
        found.setdefault(name, None)
    return found


def _listed(place: _Place) -> Iterator[_ListedModel]:
    """Yield the models of all lists, disabled ones too."""
    services, snapshot = place
    for n, (name, provider) in enumerate(snapshot.providers.items()):
        for model in services.model_lists.listing(name).models:
            yield _ListedModel(model if n == 0 else f"{name}/{model}", provider, Target(name, model))


def _entry(name: str, place: _Place, listed: _ListedModel | None) -> dict[str, Any]:
    services, snapshot = place
    model = None if listed is None else listed.catalog_model(place)
    said, overlay = snapshot.settings.models.get(name), snapshot.overlay
    off, rules = _off(name, place, listed), _rules(snapshot)
    fee = said.request_pusd if said is not None and model is None else None
    if model is not None and (found := rules.get(model.target.provider)) is not None:
        fee = found.request_pusd(model.target.model) or None
    in_file = overlay is None or name in overlay.file.models
    return {
        "name": name,
        "enabled": off is None,
        "disabled_by": off,
        "listed": model is not None,
        "figures": None if model is None else facts_json(model, candidate_of(model, services, snapshot)),
        "request_price_usd": None if fee is None else pusd_to_usd(fee),
        "request_price_pusd": fee,
        "settings": {} if said is None else _words(said),
        "source": None if said is None else CONFIG if in_file else "database",
    }


def _rules(snapshot: Snapshot) -> dict[str, ModelRules]:
    return {key: row.rules for key, row in snapshot.providers.items() if row.rules is not None}


def _off(name: str, place: _Place, listed: _ListedModel | None) -> str | None:
    """Return the setting that disables a model; None: it is enabled."""
    if listed is not None:
        return disabled_by(listed.target, _rules(place.snapshot))
    said = place.snapshot.settings.models.get(name)
    return f"models.{name}.enabled" if said is not None and not said.enabled else None


def _words(said: ModelSettings) -> dict[str, Any]:
    """Return settings in the words of the configuration."""
    return given_json(said)


async def _list(request: AdminRequest) -> AdminAnswer:
    query: ModelFilter = request.query
    place = _place(request)
    job = read_job(query.needs, query.context) if query.needs or query.context else None
    most = None if query.max_price is None else read_max_price(query.max_price)
    allowance = None if query.user is None else await _allowance(request, query.user)
    found, turn = [], LoopTurn()
    has_wishes = query.provider or allowance or job or most is not None
    for name, listed in sorted(_all(place).items()):
        await turn.rest()
        if has_wishes:
            model = None if listed is None else listed.catalog_model(place)
            if model is None or not _fits(model, query.provider, allowance, most):
                continue
            context = model.facts.context_tokens
            if job is not None and (
                lacking(job.needs, model.facts.supports) or (context or 0) < job.needs.context_tokens
            ):
                continue
        if query.enabled in (None, _off(name, place, listed) is None):
            found.append((name, listed))
    page, cursor = request.page.of_ordered(found, lambda one: (one[0],))
    entries = []
    for name, listed in page:
        entries.append(_entry(name, place, listed))
        await turn.rest()
    return AdminAnswer(entries, cursor)


def _fits(model: CatalogModel, provider: str | None, allowance: Allowance | None, max_mix_ausd: int | None) -> bool:
    if provider not in (None, model.target.provider):
        return False
    if allowance is not None and not allowance.allows(model.name):
        return False
    return max_mix_ausd is None or (model.price is not None and mix_ausd(model.price) <= max_mix_ausd)


async def _allowance(request: AdminRequest, user: str) -> Allowance:
    """Return what a user may use; raises CallerError 404 for nobody."""
    services, snapshot = _place(request)
    row = None
    if user not in snapshot.settings.users:
        row = await asyncio.to_thread(stored_user_row, services.reports, user)
    return identity_of(user, row, snapshot).allowance


async def _show(request: AdminRequest) -> AdminAnswer:
    entry = _found(request)
    return AdminAnswer(entry, etag=etag_of({"settings": entry["settings"], "enabled": entry["enabled"]}))


def _found(request: AdminRequest) -> dict[str, Any]:
    name, place = request.path["name"], _place(request)
    found = _all(place)
    if name not in found:
        raise no_model(name)
    return _entry(name, place, found[name])


async def _set(request: AdminRequest) -> AdminAnswer:
    body: ModelChanges = request.body
    name, changes = request.path["name"], body.model_dump(exclude_unset=True)
    if isinstance(changes.get("price"), dict):  # 0.15 of JSON, as the digits that were written
        changes["price"] = {key: str(one) if isinstance(one, float) else one for key, one in changes["price"].items()}
    if changes.get("enabled") is True:
        changes["enabled"] = None  # that is what a model is of which nothing is said
    await _check(request, name, changes, is_enabling=body.enabled is True)
    await request.change("models.set", {"name": name, "changes": changes})
    place = _place(request)
    return AdminAnswer(_entry(name, place, _all(place).get(name)))


async def _check(request: AdminRequest, name: str, changes: Mapping[str, Any], *, is_enabling: bool) -> None:
    """Raise for what no model can have, for what the file decides, and for enabling what another name disables."""
    check_model(name, without_none(changes))
    people = await request.deps.people.read()
    own = people.overlay.file.models.get(name)
    for field in changes:
        if own is not None and field in own.given and field != "enabled":
            people.refuse_decided(("models", name, field))
    if own is not None and not own.enabled and is_enabling:
        people.refuse_decided(("models", name, "enabled"))
    if not is_enabling:
        return
    place = _place(request)
    for model in _listed(place):
        rules = place.snapshot.providers[model.target.provider].rules
        off = rules.disabled_by(model.target.model) if rules is not None and model.name == name else None
        if off is not None and off != f"models.{name}.enabled":
            raise CallerError(409, "disabled_elsewhere", f'"{name}" stays disabled by {off}. Change that.', param=off)


async def _remove(request: AdminRequest) -> AdminAnswer:
    entry = _found(request)
    await request.change("models.remove", {"name": request.path["name"]})
    return AdminAnswer(entry)


async def _recommend(request: AdminRequest) -> AdminAnswer:
    asked: JobFilter | JobBody = request.body if isinstance(request.body, JobBody) else request.query
    services, snapshot = _place(request)
    job = read_job(asked.needs, asked.context, asked.job if isinstance(asked, JobBody) else None)
    most = None if asked.max_price is None else read_max_price(asked.max_price)
    allowance = None if asked.user is None else await _allowance(request, asked.user)
    return AdminAnswer(recommendation(job, most, allowance, services, snapshot))


ROUTES = (
    AdminRoute("GET", "/models", _list, "List models", ModelEntry, query=ModelFilter, is_list=True),
    AdminRoute(
        "GET",
        "/models/recommendations",
        _recommend,
        "Recommend models for a job in a few words",
        ModelRecommendation,
        query=JobFilter,
    ),
    AdminRoute(
        "POST",
        "/models/recommendations",
        _recommend,
        "Recommend models for a request",
        ModelRecommendation,
        body=JobBody,
        role=Role.VIEWER,
    ),
    AdminRoute("GET", "/models/{name}", _show, "Show a model", ModelEntry),
    AdminRoute("PATCH", "/models/{name}", _set, "Enable, disable or price a model", ModelEntry, body=ModelChanges),
    AdminRoute("DELETE", "/models/{name}", _remove, "Forget what the database says of a name", ModelEntry),
)
