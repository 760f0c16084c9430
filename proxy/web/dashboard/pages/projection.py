"""Projection: what this month comes to, what the coming months cost at a pace, and what is left of a revenue."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from markupsafe import Markup

from proxy.core.errors import CallerError
from proxy.web.dashboard.charts.figure import Chart
from proxy.web.dashboard.charts.projection import Level, ProjectedPoint, projection
from proxy.web.dashboard.cost_chart import write_money
from proxy.web.dashboard.figures import share_text
from proxy.web.dashboard.table import Column, Table
from proxy.web.dashboard.view import DashboardRequest, Page, View

SPANS: Final = ("12", "24", "36")
_USUAL: Final = "12"
_FLAT: Final = "0%/month"
_MONTHS: Final = (
    Column("month", "Month"),
    Column("cost", "Cost", "money"),
    Column("sum", "All up to it", "money"),
    Column("margin", "Left of the revenue", "money"),
)


async def _show(request: DashboardRequest) -> Page:
    """Answer the form; what the API cannot read is told beside it, over the flat projection."""
    asked = {name: request.query.get(name, "").strip() for name in ("growth", "revenue", "cost_of")}
    span = request.query.get("months", _USUAL)
    problem = None
    if span not in SPANS:
        span, problem = _USUAL, f"Choose {', '.join(SPANS)} months."
    try:
        found = await _projected(request, asked)
    except CallerError as error:
        found, problem = await _projected(request, {}), error.message
    growth = Decimal(found["growth_per_month"])
    flat, double = (found, found) if not growth else await _either_side(request, growth, found)
    count = int(span)
    values = {
        "asked": asked,
        "span": span,
        "spans": SPANS,
        "problem": problem,
        "found": found,
        "growth": f"{share_text(abs(growth))} {'more' if growth > 0 else 'less'}",
        "sums": {number: found["months"][int(number) - 1]["sum_pusd"] for number in SPANS if found["months"]},
        "break_even": found["break_even"],
        "month_chart": _month_chart(found, flat, double, count),
        "sum_chart": _sum_chart(found, flat, double, count),
        "is_grown": bool(growth),
    }
    return Page("projection.html", values, (_months(found, count),))


async def _projected(request: DashboardRequest, asked: Mapping[str, str]) -> dict[str, Any]:
    query = {"months": SPANS[-1], **{name: text for name, text in asked.items() if text}}
    found: dict[str, Any] = await request.api.get("/projection", query)
    return found


async def _either_side(
    request: DashboardRequest, growth: Decimal, found: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the projection without growth, and with twice as much; the one that was found where that is too much."""
    flat = await _projected(request, {"growth": _FLAT})
    try:
        return flat, await _projected(request, {"growth": f"{_doubled(growth) * 100:.6f}%/month"})
    except CallerError:  # twice as much comes to more than can be told
        return flat, found


def _doubled(growth: Decimal) -> Decimal:
    """Return twice a growth; a decline by half or more has no double, and a rise ends at tenfold."""
    return min(2 * growth, Decimal(10)) if growth > Decimal("-0.5") else growth


def _month_chart(found: Mapping[str, Any], flat: Mapping[str, Any], double: Mapping[str, Any], count: int) -> Markup:
    revenue = found["break_even"]
    level = None if revenue is None else Level("the revenue of a month", revenue["revenue_pusd"])
    points = _points(found, flat, double, count, "cost_pusd")
    return projection(Chart("by-month", "Cost of each month", _note(found)), points, write_money, level)


def _sum_chart(found: Mapping[str, Any], flat: Mapping[str, Any], double: Mapping[str, Any], count: int) -> Markup:
    points = _points(found, flat, double, count, "sum_pusd")
    return projection(Chart("in-all", "All months up to it", _note(found)), points, write_money)


def _note(found: Mapping[str, Any]) -> str:
    return f"after {found['month']}, {found['timezone']}"


def _points(
    found: Mapping[str, Any], flat: Mapping[str, Any], double: Mapping[str, Any], count: int, figure: str
) -> list[ProjectedPoint]:
    points = []
    for middle, one, other in zip(found["months"], flat["months"], double["months"], strict=True):
        values = [middle[figure], one[figure], other[figure]]
        points.append(ProjectedPoint(middle["month"], min(values), middle[figure], max(values)))
    return points[:count]


def _months(found: Mapping[str, Any], count: int) -> Table:
    rows = [
        {"month": one["month"], "cost": one["cost_pusd"], "sum": one["sum_pusd"], "margin": one["margin_pusd"]}
        for one in found["months"][:count]
    ]
    columns = _MONTHS if found["break_even"] is not None else _MONTHS[:-1]
    return Table("ahead", "Month by month", columns, rows, "Nothing to project from yet.", "month")


VIEWS = (View("GET", "/dashboard/projection", _show, "Projection"),)
