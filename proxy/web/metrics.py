"""GET /metrics: what happens now and what was counted since the start, in Prometheus' text format."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from proxy.core.money import PUSD_PER_USD
from proxy.pipeline.context import RequestContext
from proxy.pipeline.counters import Durations
from proxy.pipeline.downstream import Reply
from proxy.pipeline.upstream.provider_health import ProviderView
from proxy.policy.stop import KINDS
from proxy.web.deps import Deps
from proxy.web.json_reply import own_reply

_STATES = ("closed", "half_open", "open")
_LINE = ("running", "waiting")


async def metrics(context: RequestContext, deps: Deps) -> Reply:
    """Answer with every metric of docs/reference/metrics.md."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(deps))
    headers = {"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
    return own_reply(context, 200, headers, generate_latest(registry))


class _Collector:
    """Reads everything when asked; nothing is kept for it."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    def collect(self) -> Iterator[Metric]:
        services = self._deps.services
        counters = services.counters
        ended = counters.ended()
        yield _counter("tollkeeper_requests", "Requests that were booked.", ("status",), _one(ended.requests))
        yield _counter(
            "tollkeeper_tokens", "Tokens, images and searches that answers reported.", ("class",), _one(ended.tokens)
        )
        yield _counter("tollkeeper_flags", "Rows that ended with a flag of the ledger.", ("flag",), _one(ended.doubts))
        yield _counter(
            "tollkeeper_refusals", "Requests that were refused and left no row.", ("status", "code"), counters.refusals
        )
        yield _counter(
            "tollkeeper_attempts", "Calls to providers that have ended.", ("provider", "outcome"), counters.attempts
        )
        yield _counter(
            "tollkeeper_retries", "Attempts that tried the same target again.", ("provider",), _one(counters.retries)
        )
        yield _counter(
            "tollkeeper_key_set_asides",
            "How often a key was suspended.",
            ("provider", "key", "case"),
            counters.set_asides,
        )
        yield _histogram(
            "tollkeeper_request_duration_seconds", "How long requests took that were answered.", ended.durations
        )
        yield _histogram(
            "tollkeeper_first_token_seconds",
            "How long it took to the first content of an answer.",
            ended.first_tokens,
        )
        yield _counter(
            "tollkeeper_subscriber_failures",
            "Events of requests that a part which hears of them failed to take up.",
            (),
            {(): services.events.failures},
        )
        yield _gauge("tollkeeper_requests_in_flight", "Requests that are being answered.", len(services.in_flight))
        yield _gauge("tollkeeper_settlements_pending", "Requests whose cost is being looked up.", self._deps.pending())
        yield _gauge(
            "tollkeeper_holds_without_owner", "Reservations that no running request owns.", self._deps.ownerless()
        )
        yield _counter(
            "tollkeeper_over_reservation",
            "Requests that cost more than was reserved.",
            (),
            {(): counters.over_requests},
        )
        yield _counter(
            "tollkeeper_over_reservation_usd",
            "What they cost above it, in USD.",
            (),
            {(): counters.over_pusd / PUSD_PER_USD},
        )
        held = Counter(stop.kind for stop in services.stops.in_force())
        yield _gauges("tollkeeper_stops", "What is stopped, by kind.", "kind", {kind: held[kind] for kind in KINDS})
        yield _counter("tollkeeper_alerts", "Alerts that were told.", ("rule", "told"), self._deps.alerts.told)
        yield _counter(
            "tollkeeper_alert_deliveries",
            "Deliveries of alerts that have ended.",
            ("destination", "state"),
            self._deps.outbox.ended,
        )
        yield _gauge("tollkeeper_ledger_ok", "1 while the ledger takes writes.", int(services.ledger.problem is None))
        yield _gauge("tollkeeper_draining", "1 while the proxy is being stopped.", int(services.draining))
        yield from _of_providers(services.health.views())


def _of_providers(views: Mapping[str, ProviderView]) -> Iterator[Metric]:
    breakers = GaugeMetricFamily(
        "tollkeeper_breaker_state", "1 for the state that a provider's breaker is in.", labels=("provider", "state")
    )
    opened = CounterMetricFamily(
        "tollkeeper_breaker_opened", "How often a provider's breaker has opened.", labels=("provider",)
    )
    models = GaugeMetricFamily(
        "tollkeeper_models_resting", "Models of a provider whose breaker is open.", labels=("provider",)
    )
    keys = GaugeMetricFamily("tollkeeper_keys_set_aside", "Keys that are suspended now.", labels=("provider",))
    retries = GaugeMetricFamily(
        "tollkeeper_retries_left", "Retries that the budget still allows.", labels=("provider",)
    )
    lines = GaugeMetricFamily(
        "tollkeeper_line", "Attempts that wait for a provider with max_concurrency.", labels=("provider", "place")
    )
    for name, view in views.items():
        for state in _STATES:
            breakers.add_metric((name, state), float(view.breaker.state == state))
        opened.add_metric((name,), float(view.breaker.opened_count))
        models.add_metric((name,), float(sum(model.state == "open" for model in view.models.values())))
        keys.add_metric((name,), float(sum(key.set_aside_until_ms is not None for key in view.keys)))
        retries.add_metric((name,), float(view.retries_left))
        if view.running is not None and view.waiting is not None:
            for place, count in zip(_LINE, (view.running, view.waiting), strict=True):
                lines.add_metric((name, place), float(count))
    yield from (breakers, opened, models, keys, retries, lines)


def _one(counts: Mapping[int, int] | Mapping[str, int]) -> dict[tuple[str, ...], int]:
    return {(str(label),): count for label, count in counts.items()}


def _counter(name: str, text: str, labels: Iterable[str], counts: Mapping[Any, float]) -> Metric:
    """Return a counter; the keys of counts are tuples with one value for each label."""
    family = CounterMetricFamily(name, text, labels=tuple(labels))
    for values, count in counts.items():
        family.add_metric(tuple(str(value) for value in values), float(count))
    return family


def _histogram(name: str, text: str, durations: Mapping[str, Durations]) -> Metric:
    """Return a histogram of seconds by provider."""
    family = HistogramMetricFamily(name, text, labels=("provider",))
    for provider, counted in durations.items():
        family.add_metric((provider,), counted.cumulative(), counted.sum_ms / 1000)
    return family


def _gauges(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for of, value in values.items():
        family.add_metric((of,), float(value))
    return family


def _gauge(name: str, text: str, value: int) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))
