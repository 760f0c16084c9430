"""/admin/v1/attention: what an operator has to look at now, the worst first, each with what to do about it."""

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import quote

from msgspec import Struct
from pydantic import BaseModel, Field

from proxy.config.alerts import AlertRule
from proxy.core.limit_kinds import BY_NAME
from proxy.core.money import PUSD_PER_USD, pusd_to_usd, usd_to_pusd
from proxy.jobs.alerts import account_measures, machine_measures
from proxy.pipeline.admission.limit_errors import money
from proxy.policy.alerts.measures import limit_subject
from proxy.policy.pricing import PriceMove
from proxy.policy.quota import LimitRow
from proxy.policy.reconciliation.drift_class import UNKNOWN
from proxy.policy.reconciliation.sync_schedule import day_of, past_days
from proxy.storage.spending import UsageSelection
from proxy.web.admin.alert_words import alert_rows, alerts_of
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.route import AdminAnswer, AdminRequest, AdminRoute
from proxy.web.admin.status import percent_used

Severity = Literal["critical", "warning", "notice"]
_ORDER: Final[tuple[Severity, ...]] = ("critical", "warning", "notice")
_LIMIT_PERCENT: Final = 80  # from which on a limit is nearly spent
_BUDGET_PERCENT: Final = 80
_LIMITS_MAX: Final = 50  # limits that are listed one by one
_MODELS_MAX: Final = 20  # prices that moved
_DISK_LOW_BYTES: Final = 10**9
_CREDITS_LOW_PUSD: Final = 20 * PUSD_PER_USD
_CREDITS_OUT_PUSD: Final = 5 * PUSD_PER_USD
_DAY_MS: Final = 86_400_000


class AttentionAction(BaseModel):
    """What to do. command: of the command line. method, path: of the operator's API; null where there is none."""

    text: str
    command: str | None
    method: str | None
    path: str | None


class AttentionEntry(BaseModel):
    """One thing. subject: whom or what it is about, in the words of the API; empty text: the proxy itself."""

    kind: str
    severity: Severity
    subject: str
    text: str
    since_at: MomentText | None = Field(description="Null where it is not known.")
    action: AttentionAction


class Attention(Struct, frozen=True):
    """The same while it is gathered. address: method and path below /admin/v1."""

    kind: str
    severity: Severity
    subject: str
    text: str
    todo: str
    command: str | None = None
    address: tuple[str, str] | None = None
    since_ms: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as the fields of AttentionEntry."""
        method, path = self.address or (None, None)
        return {
            "kind": self.kind,
            "severity": self.severity,
            "subject": self.subject,
            "text": self.text,
            "since_at": moment_text(self.since_ms),
            "action": {
                "text": self.todo,
                "command": self.command,
                "method": method,
                "path": None if path is None else f"/admin/v1{path}",
            },
        }


Source = Callable[[AdminRequest], Awaitable[Iterable[Attention]]]


async def _list(request: AdminRequest) -> AdminAnswer:
    found = [one for source in _SOURCES for one in await source(request)]
    page, cursor = request.page.of(found, lambda one: (_ORDER.index(one.severity), one.kind, one.subject, one.text))
    return AdminAnswer([one.as_json() for one in page], cursor)


async def _machine(request: AdminRequest) -> list[Attention]:
    """Return what is wrong with the proxy itself: ledger, disk, clock, jobs, holds."""
    deps = request.deps
    found = []
    if (problem := deps.services.ledger.problem) is not None:
        text = f"The ledger cannot be written, so nothing is let in: {problem}"
        found.append(Attention("ledger_down", "critical", "", text, "Look at the disk.", *_STATUS))
    (disk,) = await asyncio.to_thread(machine_measures.disk_free, deps.services.live.current.settings.database)
    if disk.value < _DISK_LOW_BYTES:
        text = f"{disk.value / 1e6:,.0f} MB are left on the disk of the ledger ({disk.detail})."
        found.append(Attention("disk_low", "critical", "", text, "Make room.", *_STATUS))
    if (problem := deps.clock_problem()) is not None:
        found.append(Attention("clock_problem", "warning", "", problem, "Set the clock.", *_STATUS))
    for name, problem in deps.jobs().items():
        text = f"The job {name} does not run: {problem[:300]}"
        found.append(Attention("job_down", "critical", name, text, "Read the log, and start the proxy anew.", *_STATUS))
    if number := deps.ownerless():
        text = f"{_many(number, 'hold')} {'have' if number > 1 else 'has'} no request that runs."
        found.append(
            Attention(
                "hold_stuck",
                "warning",
                "",
                text,
                "Audit the ledger.",
                "tollkeeper audit check",
                ("GET", "/reservations"),
            )
        )
    return found


async def _configuration(request: AdminRequest) -> list[Attention]:
    """Return what is wrong with the settings, those of the file and those of the database."""
    deps, snapshot = request.deps, request.deps.services.live.current
    found = []
    if (problem := deps.config_problem()) is not None:
        text = f"The configuration file is not in force, the one before it is: {problem}"
        found.append(Attention("config_problem", "critical", "", text, "Mend the file.", *_CHECK))
    if snapshot.overlay is None:
        return found
    for row in snapshot.overlay.unreadable:
        text = f"{row.kind} {row.name} in the database cannot be read: {row.problem}"
        found.append(Attention("row_unreadable", "warning", f"{row.kind} {row.name}", text, "Remove it.", row.command))
    if not snapshot.settings.users and not await request.read(deps.services.reports.list_users):
        text, command = "There is no user yet, so nobody can ask anything.", "tollkeeper users add NAME"
        found.append(Attention("no_user", "notice", "", text, "Add one.", command, ("POST", "/users")))
    for gap in deps.missing_limits():
        kind = gap.kind.replace(".", "_")
        found.append(
            Attention(kind, "notice", "", gap.text, gap.fix, "tollkeeper limits add '$100/month'", ("POST", "/limits"))
        )
    return found


async def _stops(request: AdminRequest) -> list[Attention]:
    found = []
    for stop in request.deps.services.stops.in_force():
        until = "" if stop.until_ms is None else f", until {_at(request, stop.until_ms)}"
        reason = f": {stop.reason}" if stop.reason else "."
        what = {"stop": "stopped", "slow": "slowed", "downgrade": "downgraded"}[stop.effect]
        text = f"{stop.what[0].upper()}{stop.what[1:]} is {what} by {stop.actor}{until}{reason}"
        found.append(
            Attention(
                "stop",
                "critical" if stop.kind == "all" and stop.effect == "stop" else "warning",
                stop.what,
                text,
                "Let it go on, once the reason is gone.",
                f"tollkeeper resume {stop.id}",
                ("DELETE", f"/stops/{stop.id}"),
                since_ms=stop.created_ms,
            )
        )
    return found


async def _alerts(request: AdminRequest) -> list[Attention]:
    rules = alerts_of(request).rules
    measured = request.deps.alerts.measured
    found = []
    for (name, subject), state in (await alert_rows(request)).states.items():
        rule = rules.get(name)
        if state.level and rule is not None and rule.enabled:
            reading = measured.get((name, subject))
            text = f"The alert {name} fires for {subject or 'everything'}{_detail(rule, reading)}."
            found.append(
                Attention(
                    "alert",
                    "notice" if rule.watch in _TOLD_HERE else "warning",
                    f"{name} {subject}".strip(),
                    text,
                    "Look at the rule, or silence it.",
                    f"tollkeeper alerts silence {shlex.quote(name)} --for 2h",
                    ("GET", f"/alerts/rules/{quote(name, safe='')}"),
                    since_ms=state.since_ms,
                )
            )
    return found


_TOLD_HERE: Final = frozenset(  # what these rules watch is listed by itself
    {
        *("limit_share", "provider_down", "breaker_open", "key_bad", "credits_low", "provider_budget"),
        *("drift", "price_moved", "disk_free"),
    }
)


def _detail(rule: AlertRule, reading: Any) -> str:
    detail = "" if reading is None else reading.detail
    return f" ({rule.watch}{f': {detail}' if detail else ''})"


async def _providers(request: AdminRequest) -> list[Attention]:
    """Return providers and models that are left aside, keys that are, and lists that are not in force."""
    services = request.deps.services
    found: list[Attention] = []
    for name, view in services.health.views().items():
        path = ("GET", f"/connections/{quote(name, safe='')}")
        if view.breaker.state != "closed":
            text = (
                f"{name} fails: {_many(view.breaker.failures_in_row, 'failure')} in a row; requests are kept from it."
            )
            found.append(Attention("provider_down", "critical", name, text, *_doctor(name), path))
        for model, breaker in view.models.items():
            if breaker.state != "closed" and view.breaker.state == "closed":
                text = f"{model} at {name} has failed {breaker.failures_in_row} times in a row."
                found.append(Attention("model_down", "warning", f"{name}/{model}", text, *_doctor(name), path))
        for key in view.keys:
            if key.name in view.used_up:
                found.append(_key(name, key.name, "key_used_up", "has reached its own limit here", None))
            elif key.set_aside_until_ms is not None and key.reason in _KEY_WORDS:
                kind, what = _KEY_WORDS[key.reason]
                found.append(_key(name, key.name, kind, what, _at(request, key.set_aside_until_ms)))
        problem = services.model_lists.listing(name).problem
        if problem is not None:
            text = f"The list of models of {name} is not in force as it is now: {problem}."
            command = "tollkeeper models list"
            found.append(Attention("model_list", "warning", name, text, "Look at its prices.", command, path))
    return found


_KEY_WORDS: Final = {
    "bad_key": ("key_refused", "is refused as wrong"),
    "no_credits": ("key_used_up", "has no credit left"),
    "key_limit": ("key_used_up", "has reached its limit at the provider"),
}


def _key(provider: str, key: str, kind: str, what: str, until: str | None) -> Attention:
    subject = f"{provider}/{key}"
    tried = "" if until is None else f" It is tried again by {until} at the latest."
    command = f"tollkeeper keys test {shlex.quote(provider)} {shlex.quote(key)}"
    text = f"The key {subject} {what}.{tried}"
    return Attention(kind, "critical", subject, text, "Test it, or add another one.", command, ("GET", "/keys"))


def _doctor(provider: str) -> tuple[str, str]:
    return "Try its endpoints.", f"tollkeeper doctor {shlex.quote(provider)}"


async def _limits(request: AdminRequest) -> list[Attention]:
    """Return limits that are spent or nearly so, the fullest first."""
    rows = [row for row in await request.deps.every_limit.rows(request.now_ms) if percent_used(row) >= _LIMIT_PERCENT]
    rows.sort(key=lambda row: (-percent_used(row), row.scope, row.kind, row.window))
    return [_limit(request, row) for row in rows[:_LIMITS_MAX]]


def _limit(request: AdminRequest, row: LimitRow) -> Attention:
    is_money = BY_NAME[row.kind].unit == "money"
    used, limit = (money(amount) if is_money else f"{amount:,}" for amount in (row.used + row.reserved, row.limit))
    what, _, name = row.scope.partition(":")
    unit = "" if is_money else f" {row.kind}"
    resets = "" if row.resets_at_ms is None else f" It resets at {_at(request, row.resets_at_ms)}."
    whom = f"{what.replace('_', ' ')} {name}" if name else "everyone together"
    per = f" per {row.window}" if row.window not in ("", "total") else ""
    text = f"{used} of {limit}{unit}{per} is used or set aside by {whom}: {percent_used(row)} %.{resets}"
    option = f" --{what.replace('_', '-')} {shlex.quote(name)}" if name else ""
    return Attention(
        "limit_spent" if percent_used(row) >= 100 else "limit_nearly_spent",
        "warning",
        limit_subject(row),
        text,
        "See what it went to, or raise the limit.",
        f"tollkeeper limits list{option}",
        ("GET", f"/limits?scope={what}{f'&name={quote(name)}' if name else ''}"),
    )


async def _accounts(request: AdminRequest) -> list[Attention]:
    """Return credits and budgets at providers that come to their end, by what was heard last."""
    services = request.deps.services
    found = []
    for name, provider in services.live.current.providers.items():
        heard = await services.accounts.credits(provider, 0.0)
        if heard is not None and heard.value is not None and heard.value.left_pusd <= _CREDITS_LOW_PUSD:
            left = heard.value.left_pusd
            text = f"{money(max(left, 0))} of credits are left at {name}."
            severity: Severity = "critical" if left <= _CREDITS_OUT_PUSD else "warning"
            found.append(
                Attention(
                    "credits_low", severity, name, text, "Buy credits there.", "tollkeeper account", _account(name)
                )
            )
        elif heard is not None and heard.problem is not None:
            text = f"{name} does not tell its credits: {heard.problem}"
            found.append(Attention("account_problem", "notice", name, text, *_doctor(name), _account(name)))
    for reading in await account_measures.provider_budget(services):
        if reading.value >= _BUDGET_PERCENT:
            text = f"A budget that the provider keeps for {reading.subject}: {reading.detail}."
            severity = "critical" if reading.value >= 100 else "warning"
            provider_name = reading.scope.partition("/")[0]
            found.append(
                Attention(
                    "provider_budget",
                    severity,
                    reading.subject,
                    text,
                    "Raise it there.",
                    _ACCOUNT,
                    _account(provider_name),
                )
            )
    return found


def _account(provider: str) -> tuple[str, str]:
    return "GET", f"/account/{quote(provider, safe='')}"


async def _bill(request: AdminRequest) -> list[Attention]:
    """Return where ledger and bill are apart, bills that cannot be read, and costs that are not known yet."""
    deps = request.deps
    today = day_of(request.now_ms)
    first, last = past_days(today)[0].isoformat(), today.isoformat()
    days = await request.read(deps.services.reports.compared_days, first, last)
    apart: dict[str, int] = {}
    counted = {day.provider for day in days if day.level == "keys"}
    for day in days:
        pusd = sum(abs(each.amount_pusd) for each in day.classes if each.drift_class == UNKNOWN)
        apart[day.provider] = apart.get(day.provider, 0) + pusd
    most_pusd = usd_to_pusd(str(deps.services.live.current.settings.reconcile.unexplained_max_usd))[0]
    found = [
        Attention(
            "drift",
            "warning",
            provider,
            f"Ledger and {'what keys have counted' if provider in counted else 'bill'} of {provider} are {money(pusd)}"
            " apart in the last 30 days, and nothing explains it.",
            "See the rows behind it.",
            "tollkeeper reconcile --explain",
            ("GET", "/reconciliations"),
        )
        for provider, pusd in apart.items()
        if pusd > most_pusd
    ]
    for provider, problem in deps.sync.problems.items():
        text = f"The bill of {provider} could not be read: {problem}"
        found.append(Attention("bill_unread", "warning", provider, text, "Try again.", *_SYNC))
    if number := deps.pending():
        text = f"{_many(number, 'request')} {'wait' if number > 1 else 'waits'} for the provider to tell the cost."
        command = "tollkeeper requests --state pending"
        found.append(
            Attention("pending", "notice", "", text, "See which.", command, ("GET", "/requests?state=pending"))
        )
    return found


async def _prices(request: AdminRequest) -> list[Attention]:
    """Return the models in use whose price has moved in the last days."""
    services = request.deps.services
    moved = services.model_lists.moved_prices(request.now_ms)
    if not moved:
        return []
    used = await request.read(_used_models, request)
    found = []
    for (provider, model), change in moved.items():
        if (provider, model) in used:
            text = f"Prices of {model} at {provider} have moved: {'; '.join(map(_move, change.moves))}."
            command = f"tollkeeper models list --provider {shlex.quote(provider)}"
            found.append(
                Attention(
                    "price_moved",
                    "notice",
                    f"{provider}/{model}",
                    text,
                    "Look at what it costs now.",
                    command,
                    ("GET", f"/models/{quote(model, safe='')}"),
                    since_ms=change.at_ms,
                )
            )
    return found[:_MODELS_MAX]


def _used_models(request: AdminRequest) -> set[tuple[str, str]]:
    """Return the models, by provider, that presets name, or that were asked in the last 30 days."""
    services = request.deps.services
    snapshot = services.live.current
    named = {(target.provider, target.model) for preset in snapshot.presets.values() for target in preset.targets}
    wanted = UsageSelection(("provider", "model"), request.now_ms - 30 * _DAY_MS)
    return named | {(row.key[0], row.key[1]) for row in services.reports.usage(wanted, snapshot.zone).rows}


def _move(move: PriceMove) -> str:
    """Return a price before and now, of a million tokens where it is one of tokens."""
    name, _, unit = move.field.rpartition("_")
    of = " for a million" if unit == "ausd" else ""  # 1e-18 USD a token are 1e-12 for a million
    return f"{name.replace('_', ' ')} ${pusd_to_usd(move.before)} -> ${pusd_to_usd(move.after)}{of}"


def _at(request: AdminRequest, ms: int) -> str:
    """Return a moment for people, in the configured zone."""
    at = datetime.fromtimestamp(ms / 1000, request.deps.services.live.current.zone)
    return f"{at:%Y-%m-%d %H:%M} {at.tzname()}"


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


_STATUS: Final = "tollkeeper status", ("GET", "/status")
_CHECK: Final = "tollkeeper check", ("GET", "/configuration")
_SYNC: Final = "tollkeeper sync", ("POST", "/account/sync")
_PENDING: Final = "tollkeeper requests --state pending", ("GET", "/requests?state=pending")
_ACCOUNT: Final = "tollkeeper account"
_SOURCES: Final[tuple[Source, ...]] = (
    _machine,
    _configuration,
    _stops,
    _alerts,
    _providers,
    _limits,
    _accounts,
    _bill,
    _prices,
)
ROUTES = (
    AdminRoute("GET", "/attention", _list, "List what needs a look now, the worst first", AttentionEntry, is_list=True),
)
