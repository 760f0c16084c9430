"""What was spent in each day or hour of a page's period, as a chart."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from proxy.policy.time_segments import time_segments
from proxy.web.dashboard.charts.columns import columns
from proxy.web.dashboard.charts.figure import Chart
from proxy.web.dashboard.charts.series import Number, Series
from proxy.web.dashboard.charts.time_axis import TimeAxis
from proxy.web.dashboard.figures import money_text
from proxy.web.dashboard.view import DashboardRequest, Look


def time_word(look: Look) -> str:
    """Return in what the page's period is cut: hour or day, words of the operator's API."""
    return "hour" if look.period.word == "24h" else "day"


def cost_chart(request: DashboardRequest, rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Draw the costs of rows of /usage by time_word()."""
    period, zone, word = request.period, request.zone, time_word(request)
    costs = {row["key"][word]: row["cost_pusd"] for row in rows}
    pieces = list(time_segments(period.since_ms, period.until_ms, zone, (word,)))
    axis = TimeAxis([piece.start_ms for piece in pieces], zone)
    series = [Series("cost", [costs.get(piece.labels[0], 0) for piece in pieces])] if costs else []
    return columns(Chart("cost", f"Cost by {word}", f"{period.title}, {zone.key}"), axis, series, write_money)


def write_money(pusd: Number) -> str:
    """Return an amount of a chart."""
    return money_text(int(pusd))
