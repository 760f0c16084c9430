"""Whole charts as they are written, so that a change of any of them is seen as what it is.

After a change that is meant: python -m tests.dashboard.charts.test_golden, and look at the difference.
"""

from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from markupsafe import Markup

from proxy.web.dashboard.charts.area import area
from proxy.web.dashboard.charts.bars import Share
from proxy.web.dashboard.charts.columns import columns
from proxy.web.dashboard.charts.figure import Chart
from proxy.web.dashboard.charts.series import Series
from proxy.web.dashboard.charts.shares import shares
from proxy.web.dashboard.charts.time_axis import TimeAxis
from proxy.web.dashboard.charts.timeline import Phase, PhaseSpan, TimelineRow, timeline

GOLDEN: Final = Path(__file__).with_name("golden")
# three days of Berlin, of which the second has 25 hours
AXIS: Final = TimeAxis([1_792_792_800_000, 1_792_879_200_000, 1_792_969_200_000], ZoneInfo("Europe/Berlin"))
SERIES: Final = (Series("openai/gpt-5", [4, 1, 2], "/dashboard/models/openai%2Fgpt-5"), Series("<b>", [1, 3, -1]))
CHARTS: Final[dict[str, Markup]] = {
    "area": area(Chart("cost", "Cost by day", "three days"), AXIS, SERIES, str),
    "columns": columns(Chart("bill", "Ledger and bill"), AXIS, SERIES, str),
    "shares": shares(Chart("by-model", "By model"), [Share("a", 3, "/dashboard/a"), Share("b & c", 1)], str),
    "timeline": timeline(
        Chart("attempts", "Attempts"),
        [
            TimelineRow("a/b", "503", [PhaseSpan(Phase.WAITING, 0, 10), PhaseSpan(Phase.OPENING, 10, 90)], True),
            TimelineRow("c/d", "answered", [PhaseSpan(Phase.OPENING, 100, 300), PhaseSpan(Phase.STREAMING, 300, 990)]),
        ],
        str,
    ),
}


def written(chart: Markup) -> str:
    """Return a chart with a line for each element, so that a difference can be read."""
    return str(chart).replace("><", ">\n<") + "\n"


@pytest.mark.parametrize("name", CHARTS)
def test_a_whole_chart(name: str) -> None:
    assert written(CHARTS[name]) == (GOLDEN / f"{name}.html").read_text()


if __name__ == "__main__":
    for name, chart in CHARTS.items():
        (GOLDEN / f"{name}.html").write_text(written(chart))
