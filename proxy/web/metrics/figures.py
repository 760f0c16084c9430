"""What /metrics shows, of one moment: copies, which another thread may read while requests go on."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from msgspec import Struct

from proxy.core.errors import LedgerError
from proxy.core.stop_effect import EFFECTS
from proxy.jobs.retention import configured_quotas
from proxy.pipeline.counters import Target
from proxy.pipeline.durations import Durations
from proxy.pipeline.end_counts import Place, UsageSums
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.upstream.provider_health import ProviderView
from proxy.policy.quota import LimitRow, Quota
from proxy.policy.stop import KINDS
from proxy.storage.reports import Reports
from proxy.web.deps import Deps
from proxy.web.metrics.credits import CreditFigures, take_credits


class EndFigures(Struct, frozen=True):
    """What ended requests came to: pipeline/end_counts.py, and what pipeline/counters.py counts beside them."""

    requests: Mapping[int, int]
    flags: Mapping[str, int]
    usage: Mapping[Place, UsageSums]
    booked_pusd: Mapping[str, int]
    durations: Mapping[tuple[str, str], Durations]
    first_tokens: Mapping[tuple[str, str], Durations]
    own_time: Durations
    refusals: Mapping[tuple[int, str], int]
    limit_refusals: Mapping[tuple[str, str, str], int]
    attempts: Mapping[tuple[str, str], int]
    retries: Mapping[str, int]
    set_asides: Mapping[tuple[str, str, str], int]
    fallbacks: Mapping[tuple[Target, Target, str], int]
    over_requests: int
    over_pusd: int
    adjustments: Mapping[str, int]
    adjusted_pusd: Mapping[str, int]


class StateFigures(Struct, frozen=True):
    """How the proxy is doing now. lists: by provider how many models are listed, and since when (epoch ms)."""

    in_flight: int
    pending: int
    holds: int
    held_pusd: int
    ownerless: int
    queued: int
    queue_max: int
    ledger_ok: bool
    config_ok: bool
    clock_ok: bool
    draining: bool
    failed_jobs: int
    subscriber_failures: int
    stops: Mapping[str, int]
    eased: Mapping[str, int]
    alerts: Mapping[tuple[str, str], int]
    deliveries: Mapping[tuple[str, str], int]
    providers: Mapping[str, ProviderView]
    lists: Mapping[str, tuple[int, int | None]]
    now_ms: int


class MetricFigures(Struct, frozen=True):
    """All of it. limits None: they could not be read. limits_max: how many are shown."""

    ends: EndFigures
    state: StateFigures
    limits: Sequence[LimitRow] | None
    limits_max: int
    credits: CreditFigures


async def take_figures(deps: Deps) -> MetricFigures:
    """Copy everything; limits are read some at a time, and other requests have their turn between."""
    now_ms = deps.services.clock.now_ms()
    limits: Sequence[LimitRow] | None
    try:
        limits = await deps.limits.rows(now_ms)
    except LedgerError:
        limits = None
    labels_max = deps.services.live.current.settings.metrics.labels_max
    return MetricFigures(_ends(deps), _state(deps, now_ms), limits, labels_max, await take_credits(deps.services))


def shown_limits(snapshot: Snapshot, reports: Reports) -> list[Quota]:
    """Return the limits that are shown; those of users only where users are named. Blocks; raises LedgerError."""
    settings = snapshot.settings
    if settings.metrics.users:
        return list(configured_quotas(settings, reports.list_users()))
    return [quota for quota in configured_quotas(settings, ()) if not quota.scope.startswith("user:")]


def _ends(deps: Deps) -> EndFigures:
    counters = deps.services.counters
    ended = counters.ended()
    return EndFigures(
        requests=dict(ended.requests),
        flags=dict(ended.doubts),
        usage=dict(ended.usage),
        booked_pusd=dict(ended.cost_pusd),
        durations=dict(ended.durations),
        first_tokens=dict(ended.first_tokens),
        own_time=ended.own_time,
        refusals=dict(counters.refusals),
        limit_refusals=dict(counters.limit_refusals),
        attempts=dict(counters.attempts),
        retries=dict(counters.retries),
        set_asides=dict(counters.set_asides),
        fallbacks=dict(counters.fallbacks),
        over_requests=counters.over_requests,
        over_pusd=counters.over_pusd,
        adjustments=dict(counters.adjustments),
        adjusted_pusd=dict(counters.adjusted_pusd),
    )


def _state(deps: Deps, now_ms: int) -> StateFigures:
    services = deps.services
    snapshot, limiter = services.live.current, services.limiter
    settings = snapshot.settings
    held = [limiter.held_pusd(id_) for id_ in limiter.open_ids()]
    stops = Counter(stop.kind for stop in services.stops.in_force() if stop.effect == "stop")
    eased = Counter(stop.effect for stop in services.stops.easing())
    listings = {name: services.model_lists.listing(name) for name in snapshot.providers}
    return StateFigures(
        in_flight=len(services.in_flight),
        pending=deps.pending(),
        holds=len(held),
        held_pusd=sum(held),
        ownerless=deps.ownerless(),
        queued=services.ledger.queued,
        queue_max=settings.ledger.queue_max,
        ledger_ok=services.ledger.problem is None,
        config_ok=deps.config_problem() is None,
        clock_ok=deps.clock_problem() is None,
        draining=services.draining,
        failed_jobs=len(deps.jobs()),
        subscriber_failures=services.events.failures,
        stops={kind: stops[kind] for kind in KINDS},
        eased={effect: eased[effect] for effect in EFFECTS if effect != "stop"},
        alerts=_from_zero((settings.alerts.rules, ("fired", "recovered")), deps.alerts.told),
        deliveries=_from_zero((settings.alerts.destinations, ("delivered", "failed")), deps.outbox.ended),
        providers=services.health.views(),
        lists={name: (len(listing.models), listing.fetched_ms) for name, listing in listings.items()},
        now_ms=now_ms,
    )


def _from_zero(
    labels: tuple[Iterable[str], Iterable[str]], counts: Mapping[tuple[str, str], int]
) -> Mapping[tuple[str, str], int]:
    """Return counts with all labels that are known beforehand: what begins with its first event, no rule sees."""
    return {**dict.fromkeys(product(*labels), 0), **counts}
