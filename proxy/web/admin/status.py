"""/admin/v1/status: how the proxy is doing, on one screen."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from proxy import __version__
from proxy.core.clock import iso_utc
from proxy.core.money import pusd_to_usd
from proxy.core.secret import Secret
from proxy.pipeline.services import Services
from proxy.policy.quota import LimitRow
from proxy.policy.quota.window import window_at
from proxy.storage.reports import Reports
from proxy.storage.spending import UsageSelection
from proxy.web.admin.alert_words import alert_rows, alerts_of
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.route import AdminAnswer, AdminRequest, AdminRoute
from proxy.web.admin.stops import StopEntry, stop_entry
from proxy.web.deps import Deps
from proxy.web.own.usage import limit_json
from proxy.web.provider_status import provider_json

_HOUR_MS = 3_600_000
_NEARLY_PERCENT = 80
_NEARLY_MAX = 20  # limits of users and groups that are listed


class SpendingSoFar(BaseModel):
    """What was spent since a day or month began."""

    since: MomentText
    requests: int
    errors: int
    cost_usd: str
    cost_pusd: int


class RefusedSoFar(BaseModel):
    """Refusals of the last hour by status and code."""

    status: int
    error: str
    count: int


class LedgerState(BaseModel):
    """The ledger's file and the disk it is on."""

    path: str
    problem: str | None
    size_bytes: int
    disk_free_bytes: int
    disk_total_bytes: int


class FiringAlert(BaseModel):
    """A rule that fires, for what, and since when."""

    rule: str
    subject: str
    since_at: MomentText | None


class UnreadableEntry(BaseModel):
    """A row of the database that cannot be read. command: what removes it, or lists it."""

    kind: str
    name: str
    problem: str
    command: str


class ProxyStatus(BaseModel):
    """How the proxy is doing. started_at null: none runs, and the figures are the ledger's.

    limits: those of everyone together, and up to 20 others of which 80 % or more are used or set aside. stops: what is
    stopped now. unreadable: rows of the database that hold in a stand-in's form only. alerts: what fires now.
    providers: with the credits that were left when they were heard last, null where they were not. credits_of: the
    first provider with the same account: what is left there is left once.
    """

    version: str
    started_at: MomentText | None
    uptime_s: int | None
    draining: bool
    config_problem: str | None
    clock_problem: str | None
    jobs: dict[str, str]
    open_requests: int
    holds: int
    pending: int
    ledger: LedgerState
    today: SpendingSoFar
    this_month: SpendingSoFar
    limits: list[dict[str, Any]]
    limit_count: int
    providers: dict[str, dict[str, Any]]
    refusals: list[RefusedSoFar]
    stops: list[StopEntry]
    unreadable: list[UnreadableEntry]
    alerts: list[FiringAlert]


async def _show(request: AdminRequest) -> AdminAnswer:
    deps, services = request.deps, request.deps.services
    limits, limit_count = await _limits(request)
    return AdminAnswer(
        {
            "version": __version__,
            "started_at": moment_text(deps.started_ms),
            "uptime_s": None if deps.started_ms is None else max(0, request.now_ms - deps.started_ms) // 1000,
            **_state(deps),
            "ledger": await request.read(_ledger, services),
            "today": await _spent(request, "day"),
            "this_month": await _spent(request, "month"),
            "limits": limits,
            "limit_count": limit_count,
            "providers": _providers(services),
            "stops": [stop_entry(stop, deps) for stop in services.stops.in_force()],
            "alerts": await _firing(request),
            "unreadable": _unreadable(services),
            "refusals": await request.read(_refusals, services.reports, request.now_ms - _HOUR_MS),
        }
    )


def _unreadable(services: Services) -> list[dict[str, str]]:
    overlay = services.live.current.overlay
    return [] if overlay is None else [row._asdict() for row in overlay.unreadable]


def _state(deps: Deps) -> dict[str, Any]:
    services = deps.services
    return {
        "draining": services.draining,
        "config_problem": deps.config_problem(),
        "clock_problem": deps.clock_problem(),
        "jobs": {name: problem[:300] for name, problem in deps.jobs().items()},
        "open_requests": len(services.in_flight),
        "holds": len(services.limiter.open_ids()),
        "pending": deps.pending(),
    }


def _ledger(services: Services) -> dict[str, Any]:
    path: Path = services.live.current.settings.database
    disk = shutil.disk_usage(path.absolute().parent)
    return {
        "path": str(path),
        "problem": services.ledger.problem,
        "size_bytes": services.reports.size_bytes(),
        "disk_free_bytes": disk.free,
        "disk_total_bytes": disk.total,
    }


async def _spent(request: AdminRequest, window: str) -> dict[str, Any]:
    services = request.deps.services
    zone = services.live.current.zone
    since_ms = window_at(window, zone, request.now_ms).start_ms
    rows = await request.read(_sums, services.reports, zone, since_ms)
    cost_pusd = sum(row.cost_pusd for row in rows)
    return {
        "since": moment_text(since_ms),
        "requests": sum(row.requests for row in rows),
        "errors": sum(row.errors for row in rows),
        "cost_usd": pusd_to_usd(cost_pusd),
        "cost_pusd": cost_pusd,
    }


def _sums(reports: Reports, zone: Any, since_ms: int) -> Sequence[Any]:
    return reports.usage(UsageSelection((), since_ms), zone).rows


async def _limits(request: AdminRequest) -> tuple[list[dict[str, Any]], int]:
    """Return the limits worth a look, the fullest first, and how many there are."""
    rows = await request.deps.every_limit.rows(request.now_ms)
    everyone = [row for row in rows if row.scope == "all"]
    nearly = [row for row in rows if row.scope != "all" and percent_used(row) >= _NEARLY_PERCENT]
    shown = [*_fullest(everyone), *_fullest(nearly)[:_NEARLY_MAX]]
    return [{**limit_json(row), "percent_used": percent_used(row)} for row in shown], len(rows)


def _fullest(rows: Iterable[LimitRow]) -> list[LimitRow]:
    return sorted(rows, key=lambda row: (-percent_used(row), row.scope, row.kind, row.window))


def percent_used(row: LimitRow) -> int:
    """Return how much of a limit is used or set aside, in whole percent; 100 for one that allows nothing."""
    return 100 if row.limit <= 0 else (row.used + row.reserved) * 100 // row.limit


def _providers(services: Services) -> dict[str, dict[str, Any]]:
    views = services.health.views()
    found, accounts = {}, dict[tuple[str, Secret], str]()
    for name, provider in services.live.current.providers.items():
        credits_ = services.accounts.last_credits(provider)
        left_pusd = None if credits_ is None or credits_.value is None else credits_.value.left_pusd
        listing, key = services.model_lists.listing(name), provider.management_key
        secret = None if key is None else key.secret
        found[name] = {
            **(provider_json(views[name]) if name in views else {}),
            "model_count": len(listing.models),
            "models_fetched_at": None if listing.fetched_ms is None else iso_utc(listing.fetched_ms),
            "models_problem": listing.problem,
            "credits_left_pusd": left_pusd,
            "credits_left_usd": None if left_pusd is None else pusd_to_usd(left_pusd),
            "credits_heard_at": None if credits_ is None else moment_text(credits_.heard_ms),
            "credits_of": name if secret is None else accounts.setdefault((provider.base_url, secret), name),
        }
    return found


async def _firing(request: AdminRequest) -> list[dict[str, Any]]:
    rules = alerts_of(request).rules
    return [
        {"rule": rule, "subject": subject, "since_at": moment_text(state.since_ms)}
        for (rule, subject), state in sorted((await alert_rows(request)).states.items())
        if state.level and rule in rules and rules[rule].enabled
    ]


def _refusals(reports: Reports, since_ms: int) -> list[dict[str, Any]]:
    return [
        {"status": one.status, "error": one.error, "count": one.requests} for one in reports.refusal_counts(since_ms)
    ]


ROUTES = (AdminRoute("GET", "/status", _show, "Show how the proxy is doing", ProxyStatus),)
