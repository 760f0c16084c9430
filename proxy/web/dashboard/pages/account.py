"""Account: what providers say of keys, credits and budgets, and their bill beside the ledger."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from markupsafe import Markup

from proxy.core.errors import ApiError, CallerError
from proxy.web.dashboard.charts.columns import columns
from proxy.web.dashboard.charts.figure import Chart
from proxy.web.dashboard.charts.series import Series
from proxy.web.dashboard.charts.time_axis import TimeAxis
from proxy.web.dashboard.figures import money_text
from proxy.web.dashboard.sync_run import SyncRun
from proxy.web.dashboard.table import Column, Table
from proxy.web.dashboard.view import DashboardRequest, Fragment, Page, Redirect, View, below

_HERE: Final = "/dashboard/account"
_UTC: Final = ZoneInfo("UTC")
_SYNC_DAYS_MAX: Final = 31
_ROWS_SHOWN: Final = 1000
_DAYS: Final = (
    Column("day", "Day (UTC)", link="link"),
    Column("provider", "Provider"),
    Column("booked_pusd", "Ledger", "money"),
    Column("billed_pusd", "Bill", "money"),
    Column("difference_pusd", "Difference", "money"),
    Column("drift_pusd", "Drift", "money", hint="The part that is still to be booked or explained."),
    Column("unexplained_pusd", "Unexplained", "money"),
    Column("state", "State", "state"),
)
_CLASSES: Final = (
    Column("name", "Class", link="link"),
    Column("meaning", "What it is"),
    Column("number", "Calls", "count"),
    Column("amount_pusd", "Amount", "money"),
    Column("adjusted_pusd", "Booked since", "money"),
)
_ROWS: Final = (
    Column("day", "Day (UTC)"),
    Column("text", "What it is"),
    Column("model", "Model"),
    Column("key", "Key"),
    Column("booked_pusd", "Ledger", "money"),
    Column("billed_pusd", "Bill", "money"),
    Column("amount_pusd", "Difference", "money"),
    Column("request", "Request", "code", link="link"),
)
_ACTIVITY: Final = (
    Column("model", "Model"),
    Column("provider_name", "Served by"),
    Column("spent_pusd", "Charged", "money"),
    Column("requests", "Requests", "count"),
    Column("prompt_tokens", "Tokens in", "tokens"),
    Column("completion_tokens", "Tokens out", "tokens"),
)


async def _show(request: DashboardRequest) -> Page:
    return await _page(request)


async def _page(request: DashboardRequest, problem: ApiError | None = None) -> Page:
    api, period = request.api, request.period
    since, until = _day_of(period.since_ms), _day_of(period.until_ms - 1)
    span = {"since": since.isoformat(), "until": until.isoformat()}
    days = await api.all("/reconciliations", span)
    rows, wanted = [], request.query.get("class")
    if wanted:
        rows = await api.all("/reconciliations/rows", {**span, "name": wanted}, most=_ROWS_SHOWN)
    activity, activity_problem = await _activity(request)
    values = {
        "accounts": await api.all("/account"),
        "sources": await api.all("/reconciliations/sources"),
        "problem": None if problem is None else problem.message,
        "chart": _chart(days, f"{period.title}, days of UTC as providers count them"),
        "totals": {
            name: sum(day[f"{name}_pusd"] for day in days) if days else None
            for name in ("booked", "billed", "drift", "unexplained")
        },
        "run": request.deps.dashboard.sync,
        "wanted": wanted,
        "activity_problem": activity_problem,
        "span": span,
        "today": _day_of(request.now_ms).isoformat(),
    }
    tables = (_days(request, days), _classes(request, days), _differences(rows, wanted), _charged(request, activity))
    return Page("account.html", values, tables, status=200 if problem is None else problem.status)


def _day_of(at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()


def _chart(days: Sequence[Mapping[str, Any]], note: str) -> Markup:
    """Return ledger and bill side by side, all providers together."""
    by_day: dict[str, list[int]] = {}
    for day in days:
        sums = by_day.setdefault(day["day"], [0, 0])
        sums[0] += day["booked_pusd"]
        sums[1] += day["billed_pusd"]
    names = sorted(by_day)
    starts = [round(datetime.fromisoformat(name).replace(tzinfo=UTC).timestamp() * 1000) for name in names]
    series = (
        Series("Ledger", [by_day[name][0] for name in names]),
        Series("Bill", [by_day[name][1] for name in names]),
    )
    return columns(Chart("bill", "Ledger and bill by day", note), TimeAxis(starts, _UTC), series, money_text)


def _days(request: DashboardRequest, days: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        {
            **day,
            "state": _state(day),
            "link": request.address(provider=day["provider"], date=day["day"]) + "#charged",
        }
        for day in days
    ]
    empty = "No day of this period was compared with a bill. It needs a key that may read the account: see below."
    return Table("days", "Days", _DAYS, rows, empty, "-day")


def _state(day: Mapping[str, Any]) -> tuple[str, str]:
    if day["problem"]:
        return "bad", str(day["problem"])
    if day["level"] == "history":
        return "off", "before the first request here"
    if day["unexplained_pusd"]:
        return "bad", "unexplained"
    if day["drift_pusd"]:
        return "warn", "to be booked"
    return ("ok", "same") if day["is_final"] else ("ok", "same so far")


def _classes(request: DashboardRequest, days: Sequence[Mapping[str, Any]]) -> Table:
    """Return what the differences of all days are, by class."""
    sums: dict[str, dict[str, Any]] = {}
    for day in days:
        for one in day["classes"]:
            row = sums.setdefault(one["name"], {**one, "number": 0, "amount_pusd": 0, "adjusted_pusd": 0})
            for name in ("number", "amount_pusd", "adjusted_pusd"):
                row[name] += one[name]
            row["link"] = request.address(**{"class": one["name"]}) + "#differences"
    empty = "Ledger and bill are the same." if days else "Nothing was compared in this period."
    return Table("classes", "Differences by class", _CLASSES, [*sums.values()], empty)


def _differences(rows: Sequence[Mapping[str, Any]], wanted: str | None) -> Table:
    shown = [{**row, "link": below("requests", row["request"]) if row["request"] else None} for row in rows]
    title = f"Differences of class {wanted}" if wanted else "Differences"
    note = f"The first {_ROWS_SHOWN}." if len(rows) == _ROWS_SHOWN else ""
    empty = "None in this period." if wanted else "Choose a class above to see what is behind it."
    return Table("differences", title, _ROWS, shown, empty, "-day", note=note)


async def _activity(request: DashboardRequest) -> tuple[Sequence[Mapping[str, Any]], str | None]:
    """Return what one day was charged for, or why the provider did not say."""
    provider, day = request.query.get("provider"), request.query.get("date")
    if not provider or not day:
        return [], None
    path = f"/account/{quote(provider, safe='')}/activity"
    try:
        return await request.api.all(path, {"date": day}), None
    except ApiError as error:
        return [], error.message


def _charged(request: DashboardRequest, activity: Sequence[Mapping[str, Any]]) -> Table:
    day = request.query.get("date")
    title = f"Charged on {day[:10]} by model" if day else "Charged by model"
    empty = "Nothing was charged on this day." if day else "Choose a day above to see what its bill is made of."
    return Table("charged", title, _ACTIVITY, activity, empty, "-spent_pusd")


async def _sync(request: DashboardRequest) -> Page | Redirect:
    """Start to compare days; the page shows how far it has come."""
    state = request.deps.dashboard
    if state.sync is not None and not state.sync.is_over:
        return Redirect(f"{_HERE}?period={request.period.word}", "A comparison runs already.")
    try:
        days = _asked_days(request)
    except CallerError as error:
        return await _page(request, error)

    async def sync_day(day: date) -> list[str]:
        report = await request.api.post("/account/sync", {"day": day.isoformat()})
        return [f"{one['provider']}: {one['problem']}" for one in report["problems"]]

    state.sync = SyncRun.begin(days, sync_day)
    return Redirect(f"{_HERE}?period={request.period.word}", f"{len(days)} days are being compared with the bill.")


def _asked_days(request: DashboardRequest) -> Sequence[date]:
    try:
        first, last = (date.fromisoformat(request.form.get(name, "")) for name in ("since", "until"))
    except ValueError:
        raise CallerError(422, "invalid_field", "Write both days like 2026-11-29.", param="since") from None
    last = min(last, _day_of(request.now_ms))
    if last < first:
        raise CallerError(422, "invalid_field", "The first day is after the last, or in the future.", param="since")
    if (last - first).days >= _SYNC_DAYS_MAX:
        text = f"At most {_SYNC_DAYS_MAX} days at once; for more: tollkeeper sync --from {first} --to {last}"
        raise CallerError(422, "invalid_field", text, param="since")
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


async def _progress(request: DashboardRequest) -> Fragment:
    return Fragment("account_progress.html", {"run": request.deps.dashboard.sync})


VIEWS = (
    View("GET", _HERE, _show, "Account", has_period=True),
    View("GET", "/dashboard/account/progress", _progress, "Account", page=_HERE, is_fragment=True),
    View("POST", "/dashboard/account/sync", _sync, "Account", has_period=True),
)
