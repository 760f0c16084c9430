"""/admin/v1/report: a month for finance, with a forecast; /admin/v1/projection: what the months after it come to."""

from typing import Any, Literal

from msgspec.structs import replace
from pydantic import BaseModel, Field

from proxy.core.money import pusd_to_usd
from proxy.policy.exchange_rates import plain_text
from proxy.policy.projection import Projection, project, read_growth, read_revenue
from proxy.storage.finance import (
    USE_CASE,
    MonthQuestion,
    MonthReport,
    SpendingOutlook,
    month_name,
    read_month_report,
    read_outlook,
    read_part,
    read_project,
)
from proxy.storage.reports import Reports
from proxy.storage.spending import SpendingRow
from proxy.web.admin.json_bytes import json_bytes
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.period import invalid_query, month_ms
from proxy.web.admin.route import AdminAnswer, AdminQuery, AdminRequest, AdminRoute
from proxy.web.admin.usage import ChargedBefore, LateCost, charged_json, late_json

_MONTHS_OF_YEAR = 12
_TOO_YOUNG = "Null: the month is too young for a forecast."


class MonthFigures(BaseModel):
    """Sums of a month's requests that have ended, with late costs. cost_local: each day by its own rate."""

    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost_usd: str
    cost_pusd: int
    cost_local: str | None
    share: str | None = Field(description="Of the cost of all, from 0 to 1.")
    cached_share: str | None = Field(description="Of the input, from 0 to 1.")
    usd_per_request: str | None
    usd_per_1k_tokens: str | None


class MonthOfPerson(MonthFigures):
    """What one person spent in one group; empty text: costs that belong to no request, or no group."""

    user: str
    group: str


class MonthOfGroup(MonthFigures):
    """What one group spent; empty text: users without one."""

    group: str


class MonthOfProject(MonthFigures):
    """What one project cost; empty text: requests that name none."""

    project: str


class MonthProjects(BaseModel):
    """Projects, by use_case or tag:NAME."""

    by: str
    rows: list[MonthOfProject]


class MonthOfModel(MonthFigures):
    """What one model cost."""

    provider: str
    model: str


class MonthDay(BaseModel):
    """What one day of the configured zone cost."""

    day: str
    cost_pusd: int
    cost_usd: str


class BillDifference(BaseModel):
    """All differences of a class, and what was booked of them since."""

    name: str
    number: int
    amount_usd: str
    amount_pusd: int
    adjusted_usd: str
    adjusted_pusd: int


class MonthBill(BaseModel):
    """The days of UTC that were compared with the bill; broken_days could not be compared whole."""

    days: int
    broken_days: int
    booked_usd: str
    booked_pusd: int
    billed_usd: str
    billed_pusd: int
    difference_usd: str
    difference_pusd: int
    classes: list[BillDifference]


class RunRate(BaseModel):
    """The mean of the last whole days; null without any."""

    days: int
    day_usd: str | None
    day_pusd: int | None


class MonthForecast(BaseModel):
    """What the whole month will have come to."""

    month_usd: str
    month_pusd: int


class MonthsTogether(BaseModel):
    """What the coming months cost together."""

    cost_usd: str
    cost_pusd: int


class ReportProjection(BaseModel):
    """months: by their number what they come to, from a month that costs month_usd, each by growth more."""

    growth_per_month: str
    month_usd: str
    month_pusd: int
    months: dict[str, MonthsTogether]


class RevenueComparison(BaseModel):
    """A revenue of a month beside its cost. return: the margin over the cost. lost_in_months null: not in 36 months.

    cost_of: whose cost; null: all of it. requests: as many as the revenue pays at the cost of one.
    """

    cost_of: dict[str, str] | None
    revenue_usd: str
    revenue_pusd: int
    cost_usd: str
    cost_pusd: int
    margin_usd: str
    margin_pusd: int
    return_: str | None = Field(alias="return")
    requests: int | None
    lost_in_months: int | None


class MonthDocument(BaseModel):
    """A month, up to now where it is not over. All lists come to the same total, the dearest first.

    late_costs are in all sums. open, pending: requests that are in none; flagged: in them, with a figure in doubt.
    history: what providers charged before the first request here, in no sum. bill null: no day was compared.
    """

    month: str
    since: MomentText
    until: MomentText
    timezone: str
    made_at: MomentText
    is_over: bool
    currency: str
    total: MonthFigures
    people: list[MonthOfPerson]
    groups: list[MonthOfGroup]
    projects: MonthProjects
    models: list[MonthOfModel]
    days: list[MonthDay]
    late_costs: list[LateCost]
    bill: MonthBill | None
    history: list[ChargedBefore]
    open: int
    pending: int
    flagged: int
    run_rate: RunRate
    forecast: MonthForecast | None = Field(description="Null: the month is over, or too young to tell.")
    forecast_note: str | None = Field(description="Why there is no forecast, as a sentence; null where there is one.")
    projection: ReportProjection | None = Field(description=_TOO_YOUNG)
    break_even: RevenueComparison | None = Field(description=f"Null without a revenue. {_TOO_YOUNG}")


class ProjectedMonth(BaseModel):
    """A month to come, and all up to it. margin: of the revenue; null without one."""

    month: str
    cost_usd: str
    cost_pusd: int
    sum_usd: str
    sum_pusd: int
    margin_usd: str | None
    margin_pusd: int | None


class ProjectionDocument(BaseModel):
    """What the coming months cost if each is by growth more than the one before; the first one follows this month.

    spent: in this month so far. month_usd: what this month comes to, by the forecast; without one this month is too
    young to project from: month_usd is null, and there are no months.
    """

    month: str
    timezone: str
    made_at: MomentText
    spent_usd: str
    spent_pusd: int
    run_rate: RunRate
    forecast: MonthForecast | None = Field(description="Null: this month is too young to tell.")
    forecast_note: str | None = Field(description="Why there is no forecast, as a sentence; null where there is one.")
    growth_per_month: str
    month_usd: str | None = Field(description=_TOO_YOUNG)
    month_pusd: int | None
    months: list[ProjectedMonth]
    break_even: RevenueComparison | None = Field(description=f"Null without a revenue. {_TOO_YOUNG}")


class OutlookFilter(AdminQuery):
    """The base of questions about what is to come."""

    growth: str = Field(default="0%/month", description="Pace of the projection: 5%/month, 60%/year.")
    revenue: str | None = Field(default=None, description="What comes in, such as $500/month.")
    cost_of: str | None = Field(
        default=None, description="Compare the revenue with this part's cost, such as use_case=invoices or user=anna."
    )


class MonthFilter(OutlookFilter):
    """Which month, and how it is looked at."""

    month: str = Field(default="this-month", description="2026-11, this-month or last-month.")
    project: str = Field(default=USE_CASE, description="What a project is: use_case or tag:NAME.")


class ProjectionFilter(OutlookFilter):
    """How far, and at which pace."""

    months: Literal["12", "24", "36"] = "36"


async def _show(request: AdminRequest) -> AdminAnswer:
    query: MonthFilter = request.query
    question = _question(request, query, query.month, query.project)
    code = request.deps.services.live.current.settings.currency.code
    return AdminAnswer(await request.read_long(_month_bytes, question, code, request.now_ms))


def _month_bytes(reports: Reports, question: MonthQuestion, currency: str, now_ms: int) -> bytes:
    """Return a month as the JSON of MonthDocument."""
    report = read_month_report(reports, replace(question, rates=reports.rates(currency)), now_ms)
    return json_bytes(month_json(report, currency))


async def _project(request: AdminRequest) -> AdminAnswer:
    query: ProjectionFilter = request.query
    question = _question(request, query, "this-month", USE_CASE)
    spent_pusd, outlook = await request.read(read_outlook, request.deps.services.reports, question, request.now_ms)
    months = _months(question, outlook, int(query.months))
    return AdminAnswer(
        {
            "month": question.name,
            "timezone": question.zone.key,
            "made_at": moment_text(request.now_ms),
            **_amount("spent", spent_pusd),
            **_pace(outlook),
            "growth_per_month": plain_text(question.growth - 1),
            **_amount("month", None if outlook.projection is None else outlook.projection.month_pusd),
            "months": months,
            "break_even": _break_even(question, outlook),
        }
    )


def _question(request: AdminRequest, query: OutlookFilter, month: str, project_word: str) -> MonthQuestion:
    """Return which month is wanted, and how; raises CallerError 400 that names the parameter that cannot be read."""
    now_ms, snapshot = request.now_ms, request.deps.services.live.current
    start_ms, end_ms = month_ms(month, snapshot.zone, now_ms)
    if start_ms > now_ms:
        raise invalid_query("month", f"{month_name(start_ms, snapshot.zone)} has not begun")
    question = MonthQuestion(month_name(start_ms, snapshot.zone), start_ms, end_ms, snapshot.zone)
    name = "project"
    try:
        question = replace(question, project=read_project(project_word))
        name = "growth"
        question = replace(question, growth=read_growth(query.growth))
        name = "revenue"
        question = replace(question, revenue_pusd=None if query.revenue is None else read_revenue(query.revenue))
        name = "cost_of"
        question = replace(question, part=None if query.cost_of is None else read_part(query.cost_of, question.words))
    except ValueError as error:
        raise invalid_query(name, error) from None
    if question.part is not None and question.revenue_pusd is None:
        raise invalid_query("cost_of", "it belongs to revenue, such as revenue=$500/month")
    return question


def month_json(report: MonthReport, currency: str) -> dict[str, Any]:
    """Return a report as the fields of MonthDocument."""
    question, outlook = report.question, report.outlook
    return {
        "month": question.name,
        "since": moment_text(question.start_ms),
        "until": moment_text(question.end_ms),
        "timezone": question.zone.key,
        "made_at": moment_text(report.made_ms),
        "is_over": report.is_over,
        "currency": currency,
        "total": _figures(report.total, report),
        "people": [{"user": row.key[0], "group": row.key[1], **_figures(row, report)} for row in report.people],
        "groups": [{"group": row.key[0], **_figures(row, report)} for row in report.groups],
        "projects": {
            "by": question.project,
            "rows": [{"project": row.key[0], **_figures(row, report)} for row in report.projects],
        },
        "models": [{"provider": row.key[0], "model": row.key[1], **_figures(row, report)} for row in report.models],
        "days": [
            {"day": day, "cost_pusd": pusd, "cost_usd": pusd_to_usd(pusd)} for day, pusd in sorted(report.days.items())
        ],
        "late_costs": list(map(late_json, report.late)),
        "bill": _bill(report),
        "history": list(map(charged_json, report.history)),
        "open": report.rest.open,
        "pending": report.rest.pending,
        "flagged": report.rest.flagged,
        **_pace(outlook),
        "projection": None if outlook.projection is None else _projection(outlook.projection),
        "break_even": _break_even(question, outlook),
    }


def _projection(projection: Projection) -> dict[str, Any]:
    return {
        "growth_per_month": plain_text(projection.growth - 1),
        **_amount("month", projection.month_pusd),
        "months": {str(months): _amount("cost", pusd) for months, pusd in projection.sums_pusd.items()},
    }


def _bill(report: MonthReport) -> dict[str, Any] | None:
    bill = report.bill
    if bill is None:
        return None
    return {
        "days": bill.days,
        "broken_days": bill.broken,
        **_amount("booked", bill.booked_pusd),
        **_amount("billed", bill.billed_pusd),
        **_amount("difference", bill.billed_pusd - bill.booked_pusd),
        "classes": [
            {
                "name": one.drift_class,
                "number": one.number,
                **_amount("amount", one.amount_pusd),
                **_amount("adjusted", one.adjusted_pusd),
            }
            for one in bill.classes
        ],
    }


def _break_even(question: MonthQuestion, outlook: SpendingOutlook) -> dict[str, Any] | None:
    found, part = outlook.break_even, question.part
    if found is None:
        return None
    return {
        "cost_of": None if part is None else {part[0]: part[1]},
        **_amount("revenue", found.revenue_pusd),
        **_amount("cost", found.cost_pusd),
        **_amount("margin", found.margin_pusd),
        "return": None if found.returned is None else plain_text(found.returned),
        "requests": found.requests,
        "lost_in_months": found.lost_in,
    }


def _figures(row: SpendingRow, report: MonthReport) -> dict[str, Any]:
    return {
        "requests": row.requests,
        "errors": row.errors,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        **_amount("cost", row.cost_pusd),
        "cost_local": None if row.cost_local is None else plain_text(row.cost_local),
        **row.ratios(report.total),
    }


def _amount(name: str, pusd: int | None) -> dict[str, Any]:
    """Return an amount as two fields, exact at any size."""
    return {f"{name}_usd": None if pusd is None else pusd_to_usd(pusd), f"{name}_pusd": pusd}


def _pace(outlook: SpendingOutlook) -> dict[str, Any]:
    """Return what a month is on the way to."""
    return {
        "run_rate": {"days": outlook.rate_days, **_amount("day", outlook.day_pusd)},
        "forecast": None if outlook.forecast_pusd is None else _amount("month", outlook.forecast_pusd),
        "forecast_note": outlook.forecast_note,
    }


def _months(question: MonthQuestion, outlook: SpendingOutlook, count: int) -> list[dict[str, Any]]:
    if outlook.projection is None:
        return []
    projection, months, sum_pusd = outlook.projection, [], 0
    for number, pusd in enumerate(project(projection.month_pusd, projection.growth, count), 1):
        sum_pusd += pusd
        margin_pusd = None if question.revenue_pusd is None else question.revenue_pusd - pusd
        months.append(
            {
                "month": _month_after(question.name, number),
                **_amount("cost", pusd),
                **_amount("sum", sum_pusd),
                **_amount("margin", margin_pusd),
            }
        )
    return months


def _month_after(name: str, number: int) -> str:
    year, month = map(int, name.split("-"))
    place = year * _MONTHS_OF_YEAR + month - 1 + number
    return f"{place // _MONTHS_OF_YEAR}-{place % _MONTHS_OF_YEAR + 1:02}"


ROUTES = (
    AdminRoute("GET", "/report", _show, "Show what a month cost, for finance", MonthDocument, query=MonthFilter),
    AdminRoute(
        "GET",
        "/projection",
        _project,
        "Show what the coming months cost at a pace",
        ProjectionDocument,
        query=ProjectionFilter,
    ),
)
