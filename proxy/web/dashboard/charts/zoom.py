"""Charts over time that a person may zoom into: the drawing, and beside it the values for static/zoom.js."""

import json
from collections.abc import Sequence
from typing import Final, Literal

from markupsafe import Markup

from proxy.web.dashboard.charts.element import element
from proxy.web.dashboard.charts.label import label
from proxy.web.dashboard.charts.palette import series_class
from proxy.web.dashboard.charts.series import DRAWN, Number, Series, known, top_series
from proxy.web.dashboard.charts.time_axis import TimeAxis

Unit = Literal["usd", "count", "ms"]
MOST_VALUES: Final = 4_000  # of all series: about 30 kB of a page
_PUSD_PER_USD: Final = 10**12
_DIGITS: Final = 6  # more are not seen in a drawing; the exact values are in the table


def zoomable(chart: Markup, axis: TimeAxis, series: Sequence[Series], unit: Unit, *, stacked: bool) -> Markup:
    """Return a chart with its values for the script, which adds a button to zoom; without one the chart is as it was.

    series: as they were given to ``area`` (stacked) or ``lines``; with unit usd they are pico-USD. Where there are more
    than MOST_VALUES, or fewer than three points, there is no zoom.
    """
    drawn = top_series(series) if stacked else series[:DRAWN]
    points = len(axis.starts_ms)
    if points < 3 or not drawn or points * len(drawn) > MOST_VALUES:
        return chart
    values = {
        "unit": unit,
        "stacked": stacked,
        "zone": axis.zone.key,
        "times": [at_ms // 1000 for at_ms in axis.starts_ms],
        "series": [
            {
                "name": label(one.name),
                "look": series_class(n, one.is_other),
                "values": [_rounded(value, unit) for value in one.values],
            }
            for n, one in enumerate(drawn)
        ],
    }
    return element("div", chart, class_="zoomable", data_zoom=json.dumps(values, separators=(",", ":")))


def _rounded(value: Number | None, unit: Unit) -> float | None:
    found = known(value)
    if found is None:
        return None
    return float(f"{found / _PUSD_PER_USD if unit == 'usd' else found:.{_DIGITS}g}")
