"""One cheap chat completion with a key of the operator's choice, booked like everything that costs money."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

import orjson
from msgspec import Struct
from msgspec.structs import replace

from proxy.core.glob import fits
from proxy.core.money import pusd_to_usd
from proxy.jobs.late_truths import LateTruths
from proxy.pipeline.services import Services
from proxy.policy.parameter_form import PLAIN, ParameterForm, known_form
from proxy.policy.pricing import Price, UnboundedError, charge, read_facts, worst_case_pusd
from proxy.providers.account.ask import Hear, Question, ask
from proxy.providers.account.examination import EndpointTry, Examination
from proxy.providers.account.source import AccountError
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow
from proxy.storage.adjustment import UnattachedCost
from proxy.wire.endpoint import CHAT
from proxy.wire.usage import Usage, read_usage

REQUEST: Final = "POST /chat/completions"
_REASON: Final = "tried out by an operator"
_SOURCE: Final = "tollkeeper doctor"
_MESSAGES: Final = [{"role": "user", "content": "Reply with the word OK."}]
_ANSWER_TOKENS: Final = 16  # the fewest that every model takes
_MAYBE_BILLED: Final = frozenset({408, 504, 524})  # a proxy gave up on a server that may still be at work


class _Trial(Struct, frozen=True):
    model: str
    price: Price
    body: dict[str, Any]
    worst_pusd: int


class TrialChat:
    """Tries keys of providers. What a try can cost at most is booked before it is sent, the rest after its answer."""

    def __init__(self, services: Services, late: LateTruths) -> None:
        self._services = services
        self._late = late

    async def run(self, provider: ProviderRow, key: Key) -> EndpointTry:
        """Return how a completion by the cheapest model that is known ends; raises LedgerUnavailableError."""
        not_tried = EndpointTry(provider.name, key.name, REQUEST, None)
        if provider.dialect.translator is not None:
            return replace(not_tried, said="Its answers are in a form of its own; send a request through the proxy.")
        if not self._services.model_lists.listing(provider.name).models:
            await self._services.model_lists.refresh(provider)
        trial = min(
            self._trials(provider), key=lambda one: (not one.worst_pusd, one.worst_pusd, one.model), default=None
        )
        if trial is None:
            said = "There is no model with a known price here, so nobody knows what a try costs."
            return replace(not_tried, said=said)
        stopped = self._stopped(provider, trial.model)
        if stopped is not None:
            return replace(not_tried, said=f"It is stopped ({stopped}): tollkeeper stops")
        return await self._tried(provider, key, trial)

    async def _tried(self, provider: ProviderRow, key: Key, trial: _Trial) -> EndpointTry:
        answers: list[Any] = []
        question = Question(provider.dialect.path(CHAT, trial.model, streamed=False), "an answer", trial.body)
        failed: list[AccountError] = []

        async def asked(hear: Hear) -> None:
            try:
                answers.append(await ask(provider, key, question, self._services.clock.now_ms()))
            except AccountError as error:
                failed.append(error)
                raise
            hear(question, answers[0])

        blank = self._cost(provider, key, trial, f"{_SOURCE} {uuid4()}")
        await self._late.book_unattached([replace(blank, actual_pusd=trial.worst_pusd)])
        found = await Examination(provider, self._services.clock).attempt(key, REQUEST, asked)
        await self._late.book_unattached(_settled(blank, provider, trial, answers, failed))
        return replace(found, said=found.said or f"Asked {trial.model}, at most ${pusd_to_usd(trial.worst_pusd)}.")

    def _cost(self, provider: ProviderRow, key: Key, trial: _Trial, reference: str) -> UnattachedCost:
        now_ms = self._services.clock.now_ms()
        day = datetime.fromtimestamp(now_ms / 1000, self._services.live.current.zone).date().isoformat()
        return UnattachedCost(now_ms, day, provider.name, trial.model, key.name, 0, _REASON, _SOURCE, reference)

    def _trials(self, provider: ProviderRow) -> Iterator[_Trial]:
        """Yield a try of each model that writes text, by the list or because a preset names it, and has a price."""
        lists = self._services.model_lists
        named = {
            target.model
            for preset in self._services.live.current.presets.values()
            for target in preset.targets
            if target.provider == provider.name
        }
        for model in {*lists.listing(provider.name).models, *named}:
            if model not in named and lists.facts(provider, model).supports.text is not True:
                continue
            price = lists.price(provider, model)
            if price is None:
                continue
            body = _body(provider, model)
            try:
                worst_pusd = worst_case_pusd([price], read_facts(body, len(orjson.dumps(body))))
            except UnboundedError:
                continue
            yield _Trial(model, price, body, worst_pusd)

    def _stopped(self, provider: ProviderRow, model: str) -> str | None:
        for stop in self._services.stops.in_force():
            is_meant = stop.kind == "all" or (stop.kind == "provider" and stop.subject == provider.name)
            if is_meant or (stop.kind == "model" and fits(model, stop.subject)):
                return stop.what
        return None


def _body(provider: ProviderRow, model: str) -> dict[str, Any]:
    form = known_form(provider.host, model, CHAT.kind) or PLAIN
    own: ParameterForm = next((form for glob, form in provider.parameters if fits(model, glob)), PLAIN)
    body = {"model": model, "messages": _MESSAGES, own.over(form).named("max_tokens"): _ANSWER_TOKENS}
    return provider.dialect.prepare(body, model, CHAT)[0]


def _settled(
    blank: UnattachedCost, provider: ProviderRow, trial: _Trial, answers: list[Any], failed: list[AccountError]
) -> list[UnattachedCost]:
    """Return what is to be booked in the end: at the id of the answer where the provider's bill names it by that."""
    actual_pusd = _trial_cost(provider, trial, answers, failed)
    answer = answers[0] if answers and isinstance(answers[0], dict) else {}
    id_ = answer.get("id")
    if provider.dialect.has_generations and isinstance(id_, str) and 0 < len(id_) <= 128:
        return [replace(blank, reference=id_, actual_pusd=actual_pusd), blank]
    return [replace(blank, actual_pusd=actual_pusd)]


def _trial_cost(provider: ProviderRow, trial: _Trial, answers: list[Any], failed: list[AccountError]) -> int:
    """Return what a try cost; the most that it can have cost where that is not known."""
    if failed:
        status = failed[0].status
        is_unbilled = not failed[0].was_sent or (status is not None and status != 200 and status not in _MAYBE_BILLED)
        return 0 if is_unbilled else trial.worst_pusd
    usage = read_usage(answers[0], b"") if answers and isinstance(answers[0], dict) else None
    found = None if usage is None else _cost_of(usage, provider, trial.price)
    return trial.worst_pusd if found is None else found


def _cost_of(usage: Usage, provider: ProviderRow, price: Price) -> int | None:
    if provider.dialect.reports_cost and usage.cost_pusd is not None and (usage.cost_pusd or price.is_free):
        return usage.cost_pusd
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return charge(
        price, usage.input_tokens, usage.output_tokens, usage.cached_tokens or 0, usage.reasoning_tokens or 0
    ).pusd
