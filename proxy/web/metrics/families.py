"""Every metric of docs/reference/metrics.md, from figures that do not change any more. Runs in a thread."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import Metric
from prometheus_client.process_collector import ProcessCollector

from proxy import __version__
from proxy.core.money import PUSD_PER_USD
from proxy.pipeline.durations import NO_DURATIONS, OWN_SECONDS, SECONDS, Durations
from proxy.pipeline.end_counts import CLASSES
from proxy.pipeline.upstream.provider_health import ProviderView
from proxy.policy.key_ring import KeyView
from proxy.storage.meanings import COST_SOURCES
from proxy.web.metrics.bill_families import bill_families
from proxy.web.metrics.family import AnyFamily, Family, HistogramFamily, Kind, counter, figure, gauge
from proxy.web.metrics.figures import EndFigures, MetricFigures, StateFigures
from proxy.web.metrics.limit_families import limit_families
from proxy.web.metrics.machine import MachineFigures

_STATES = ("closed", "half_open", "open")
_KEY_STATES = ("in_use", "set_aside", "used_up", "invalid")
_LINE = ("running", "waiting")
_DIRECTIONS = ("up", "down")
_PLACE = ("provider", "model", "user")
_MS = 1000.0


def families(figures: MetricFigures, machine: MachineFigures) -> Iterator[AnyFamily]:
    """Yield all families; reading those of the process blocks."""
    yield Family("info", "tollkeeper_build", "The version that runs.", ("version",), {(__version__,): 1})
    yield from _usage(figures.ends)
    yield from _requests(figures.ends)
    yield from _durations(figures.ends)
    yield from _state(figures.state)
    yield from _ledger(figures.state, machine)
    yield from limit_families(figures.limits or (), figures.limits_max, figures.state.now_ms)
    yield from bill_families(figures.credits, machine.drift, figures.state.now_ms)
    yield from _alerts(figures.state, machine)
    yield from _providers(figures.state.providers)
    yield from _model_lists(figures.state)
    sources = {**machine.sources, "limits": figures.limits is not None}
    if figures.credits.is_ok is not None:
        sources["credits"] = figures.credits.is_ok
    yield gauge(
        "tollkeeper_metrics_source_ok",
        "1 where what a source tells could be read this time.",
        ("source",),
        {(name,): is_ok for name, is_ok in sources.items()},
    )
    yield from map(_of_process, ProcessCollector(registry=None).collect())


def _usage(ends: EndFigures) -> Iterator[AnyFamily]:
    usage = ends.usage
    yield counter(
        "tollkeeper_cost_usd",
        "What requests cost that are booked, in USD.",
        _PLACE,
        {place: sums.cost_pusd / PUSD_PER_USD for place, sums in usage.items()},
    )
    yield counter(
        "tollkeeper_booked_usd",
        "The same by where the figure comes from.",
        ("source",),
        {(source,): ends.booked_pusd.get(source, 0) / PUSD_PER_USD for source in COST_SOURCES if source != "none"},
    )
    yield counter(
        "tollkeeper_usage_requests",
        "Requests that were booked.",
        (*_PLACE, "result"),
        {
            (*place, result): count
            for place, sums in usage.items()
            for result, count in (("success", sums.requests - sums.failures), ("error", sums.failures))
        },
    )
    yield counter(
        "tollkeeper_usage_tokens",
        "Tokens, images and searches that answers reported.",
        (*_PLACE, "class"),
        {
            (*place, name): count
            for place, sums in usage.items()
            for name, count in zip(CLASSES, sums.tokens, strict=True)
            if count
        },
    )
    tokens = [sum(column) for column in zip(*(sums.tokens for sums in usage.values()), strict=True)]
    yield counter(
        "tollkeeper_tokens",
        "Tokens, images and searches that answers reported.",
        ("class",),
        {(name,): count for name, count in zip(CLASSES, tokens or [0] * len(CLASSES), strict=True)},
    )


def _requests(ends: EndFigures) -> Iterator[AnyFamily]:
    yield counter("tollkeeper_requests", "Requests that were booked.", ("status",), _one(ends.requests))
    yield counter("tollkeeper_flags", "Rows that ended with a flag of the ledger.", ("flag",), _one(ends.flags))
    yield counter(
        "tollkeeper_refusals", "Requests that were refused and left no row.", ("status", "code"), ends.refusals
    )
    yield counter(
        "tollkeeper_limit_refusals",
        "Of these those that a limit refused.",
        ("scope", "kind", "window"),
        ends.limit_refusals,
    )
    yield counter("tollkeeper_attempts", "Calls to providers that have ended.", ("provider", "outcome"), ends.attempts)
    yield counter("tollkeeper_retries", "Attempts that tried the same target again.", ("provider",), _one(ends.retries))
    yield counter(
        "tollkeeper_fallbacks",
        "Requests that went on at another target.",
        ("from_provider", "from_model", "to_provider", "to_model", "reason"),
        {(*failed, *following, case): count for (failed, following, case), count in ends.fallbacks.items()},
    )
    yield counter(
        "tollkeeper_key_set_asides", "How often a key was suspended.", ("provider", "key", "case"), ends.set_asides
    )
    yield counter(
        "tollkeeper_over_reservation", "Requests that cost more than was reserved.", (), {(): ends.over_requests}
    )
    yield counter(
        "tollkeeper_over_reservation_usd",
        "What they cost above it, in USD.",
        (),
        {(): ends.over_pusd / PUSD_PER_USD},
    )
    yield counter(
        "tollkeeper_adjustments",
        "Costs that became known late and were booked as more (up) or less (down) than before.",
        ("direction",),
        {(direction,): ends.adjustments.get(direction, 0) for direction in _DIRECTIONS},
    )
    yield counter(
        "tollkeeper_adjusted_usd",
        "By how much they were more or less than what was booked before, in USD.",
        ("direction",),
        {(direction,): ends.adjusted_pusd.get(direction, 0) / PUSD_PER_USD for direction in _DIRECTIONS},
    )


def _durations(ends: EndFigures) -> Iterator[AnyFamily]:
    whole, first = ends.durations, ends.first_tokens
    texts = (
        "How long requests took that were answered.",
        "How long it took to the first content of an answer.",
    )
    provider, model = ("provider",), ("provider", "model")
    for name, text, labels, durations in (
        ("tollkeeper_request_duration_seconds", texts[0], provider, _by_provider(whole)),
        ("tollkeeper_first_token_seconds", texts[1], provider, _by_provider(first)),
        ("tollkeeper_model_duration_seconds", texts[0], model, whole),
        ("tollkeeper_model_first_token_seconds", texts[1], model, first),
    ):
        yield HistogramFamily(name, text, labels, SECONDS, _MS, durations)
    yield HistogramFamily(
        "tollkeeper_overhead_seconds",
        "How long the proxy itself took, beside the time with the provider.",
        (),
        OWN_SECONDS,
        1.0,
        {(): ends.own_time},
    )


def _by_provider(durations: Mapping[tuple[str, str], Durations]) -> dict[tuple[str], Durations]:
    found: dict[tuple[str], Durations] = {}
    for (provider, _), counted in durations.items():
        found[provider,] = found.get((provider,), NO_DURATIONS).joined(counted)
    return found


def _state(state: StateFigures) -> Iterator[AnyFamily]:
    yield figure("tollkeeper_requests_in_flight", "Requests that are being answered.", state.in_flight)
    yield figure("tollkeeper_settlements_pending", "Requests whose cost is being looked up.", state.pending)
    yield figure("tollkeeper_holds", "Requests that hold something of limits.", state.holds)
    yield figure("tollkeeper_held_usd", "What they hold, in USD.", state.held_pusd / PUSD_PER_USD)
    yield figure("tollkeeper_holds_without_owner", "Reservations that no running request owns.", state.ownerless)
    yield gauge("tollkeeper_stops", "What is stopped, by kind.", ("kind",), _one(state.stops))
    yield gauge("tollkeeper_eased", "What is slowed or downgraded, by effect.", ("effect",), _one(state.eased))
    yield figure("tollkeeper_draining", "1 while the proxy is being stopped.", state.draining)
    yield figure("tollkeeper_config_ok", "1 while the configuration in force is the one on disk.", state.config_ok)
    yield figure("tollkeeper_clock_ok", "1 while this machine's clock can be trusted.", state.clock_ok)
    yield figure("tollkeeper_jobs_failed", "Background jobs that are not running.", state.failed_jobs)
    yield counter(
        "tollkeeper_subscriber_failures",
        "Events of requests that a part which hears of them failed to take up.",
        (),
        {(): state.subscriber_failures},
    )


def _ledger(state: StateFigures, machine: MachineFigures) -> Iterator[AnyFamily]:
    yield figure("tollkeeper_ledger_ok", "1 while the ledger takes writes.", state.ledger_ok)
    yield figure("tollkeeper_ledger_queue", "Writes that wait for the disk.", state.queued)
    yield figure("tollkeeper_ledger_queue_max", "How many may wait; more requests get 503.", state.queue_max)
    free, whole = machine.disk or (None, None)
    for name, text, value in (
        ("tollkeeper_ledger_size_bytes", "What the ledger takes on disk.", machine.ledger_bytes),
        ("tollkeeper_disk_free_bytes", "What is free on the disk of the ledger.", free),
        ("tollkeeper_disk_size_bytes", "How large that disk is.", whole),
    ):
        yield gauge(name, text, (), {} if value is None else {(): value})


def _alerts(state: StateFigures, machine: MachineFigures) -> Iterator[AnyFamily]:
    yield counter("tollkeeper_alerts", "Alerts that were told.", ("rule", "told"), state.alerts)
    yield gauge("tollkeeper_alerts_firing", "For how many subjects a rule fires.", ("rule",), _one(machine.firing))
    yield counter(
        "tollkeeper_alert_deliveries",
        "Deliveries of alerts that have ended.",
        ("destination", "state"),
        state.deliveries,
    )


def _providers(views: Mapping[str, ProviderView]) -> Iterator[AnyFamily]:
    provider = ("provider",)
    yield gauge(
        "tollkeeper_breaker_state",
        "1 for the state that a provider's breaker is in.",
        ("provider", "state"),
        {(name, state): view.breaker.state == state for name, view in views.items() for state in _STATES},
    )
    yield counter(
        "tollkeeper_breaker_opened",
        "How often a provider's breaker has opened.",
        provider,
        {(name,): view.breaker.opened_count for name, view in views.items()},
    )
    yield gauge(
        "tollkeeper_models_resting",
        "Models of a provider whose breaker is open.",
        provider,
        {(name,): sum(model.state == "open" for model in view.models.values()) for name, view in views.items()},
    )
    yield gauge(
        "tollkeeper_key_state",
        "1 for the state that a key is in.",
        ("provider", "key", "state"),
        {
            (name, key.name, state): _key_state(key, view) == state
            for name, view in views.items()
            for key in view.keys
            for state in _KEY_STATES
        },
    )
    yield gauge(
        "tollkeeper_keys_set_aside",
        "Keys that are suspended now.",
        provider,
        {(name,): sum(key.set_aside_until_ms is not None for key in view.keys) for name, view in views.items()},
    )
    yield gauge(
        "tollkeeper_retries_left",
        "Retries that the budget still allows.",
        provider,
        {(name,): view.retries_left for name, view in views.items()},
    )
    yield gauge(
        "tollkeeper_line",
        "Attempts at a provider with max_concurrency.",
        ("provider", "place"),
        {
            (name, place): count
            for name, view in views.items()
            for place, count in zip(_LINE, (view.running, view.waiting), strict=True)
            if count is not None
        },
    )


def _key_state(key: KeyView, view: ProviderView) -> str:
    if not key.valid:
        return "invalid"
    if key.set_aside_until_ms is not None:
        return "set_aside"
    return "used_up" if key.name in view.used_up else "in_use"


def _model_lists(state: StateFigures) -> Iterator[AnyFamily]:
    yield gauge(
        "tollkeeper_models_listed",
        "Models that a provider's list has.",
        ("provider",),
        {(name,): count for name, (count, _) in state.lists.items()},
    )
    yield gauge(
        "tollkeeper_model_list_age_seconds",
        "How long ago the list in force was fetched.",
        ("provider",),
        {
            (name,): max(0, state.now_ms - fetched_ms) / _MS
            for name, (_, fetched_ms) in state.lists.items()
            if fetched_ms is not None
        },
    )


def _of_process(metric: Metric) -> Family:
    """Return a family that the client library reads of the process: one figure without labels."""
    kind: Kind = "counter" if metric.type == "counter" else "gauge"
    (sample,) = metric.samples
    return Family(kind, metric.name, metric.documentation, (), {(): sample.value})


def _one(counts: Mapping[int, int] | Mapping[str, int]) -> dict[tuple[str], int]:
    items: Iterable[tuple[int | str, int]] = counts.items()
    return {(str(label),): count for label, count in items}
