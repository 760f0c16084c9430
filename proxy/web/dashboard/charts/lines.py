"""Figures over time, each a line of its own: requests, errors, latency."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from markupsafe import Markup

from proxy.web.dashboard.charts.element import element
from proxy.web.dashboard.charts.figure import (
    NOTHING_HERE,
    Box,
    Canvas,
    Chart,
    LegendEntry,
    ValueTable,
    drawing,
    empty_figure,
    figure,
    legend_list,
    point,
)
from proxy.web.dashboard.charts.label import isolated, label
from proxy.web.dashboard.charts.palette import mark, series_class
from proxy.web.dashboard.charts.plot import (
    TimePoints,
    joined_note,
    plot_canvas,
    time_place,
    time_points,
    time_words,
    value_grid,
)
from proxy.web.dashboard.charts.scale import Scale, value_scale
from proxy.web.dashboard.charts.series import DRAWN, NO_VALUE, Number, Series, Writer, known
from proxy.web.dashboard.charts.time_axis import TimeAxis

_NAME_CHARS = 28


def lines(
    chart: Chart,
    axis: TimeAxis,
    series: Sequence[Series],
    write: Writer,
    join: Callable[[list[Number]], Number] = max,
) -> Markup:
    """Return series as lines, in their order; a line breaks where nothing is known.

    join: ``max`` or ``sum``, what becomes of neighbours where there are more points than can be drawn. No more than
    DRAWN series: there is no "other" of figures that cannot be added.
    """
    if not series or not axis.starts_ms:
        return empty_figure(chart, "lines")
    points = time_points(axis, series[:DRAWN], join)
    found = [value for one in points.series for value in one.values if value is not None]
    canvas = plot_canvas([write(tick) for tick in value_scale(found, 0, 1).ticks])
    scale = value_scale(found, canvas.floor, canvas.top)
    xs = [time_place(points.axis, at_ms, canvas) for at_ms in points.axis.starts_ms]
    svg = drawing(
        chart,
        canvas,
        _description(points, write) + joined_note(points, "the sum" if join is sum else "the highest"),
        value_grid(scale, canvas, write),
        element(
            "g", *(_line(n, one, xs, scale) for n, one in enumerate(points.series)), class_="lines", aria_hidden="true"
        ),
        time_words(points.axis, canvas),
        *_points(points, xs, scale, canvas, write),
    )
    legend = legend_list([
        LegendEntry(series_class(n, one.is_other), one.name, _last(one, write), one.link, mark(n))
        for n, one in enumerate(points.series)
    ])  # fmt: skip
    return figure(chart, "lines", svg, _table(points, write), legend)


def _line(place: int, one: Series, xs: Sequence[float], scale: Scale) -> Markup:
    path, dots = "", []
    is_open = False
    for n, (x, value) in enumerate(zip(xs, one.values, strict=True)):
        if value is None:
            is_open = False
            continue
        y = scale.at(value)
        path += f"{'L' if is_open else 'M'}{x:.1f} {y:.1f}"
        ends = n + 1 == len(xs) or one.values[n + 1] is None
        if not is_open and ends:  # a line of one point cannot be seen
            dots.append(element("circle", class_="single", cx=x, cy=y, r=3))
        is_open = True
    return element(
        "g", element("path", class_="edge", d=path) if path else None, *dots, class_=series_class(place, one.is_other)
    )


def _points(points: TimePoints, xs: Sequence[float], scale: Scale, canvas: Canvas, write: Writer) -> list[Markup]:
    middles = [canvas.left, *((a + b) / 2 for a, b in pairwise(xs)), canvas.end]
    parts = []
    for n, x in enumerate(xs):
        words, dots = [points.texts[n]], []
        for one in points.series:
            value = one.values[n]
            words.append(f"{isolated(label(one.name, _NAME_CHARS))} {NO_VALUE if value is None else write(value)}")
            if value is not None:
                dots.append(element("circle", class_="dot", cx=x, cy=scale.at(value), r=4))
        hit = Box(middles[n], canvas.top, max(0.0, middles[n + 1] - middles[n]), canvas.floor - canvas.top)
        cursor = element("path", class_="cursor", d=f"M{x:.1f} {canvas.top:.1f}V{canvas.floor:.1f}")
        parts.append(point(words, hit, canvas, cursor, *dots))
    return parts


def _last(one: Series, write: Writer) -> str:
    return next((write(value) for value in reversed(one.values) if value is not None), NO_VALUE)


def _description(points: TimePoints, write: Writer) -> str:
    reaches = []
    for one in points.series:
        found = [value for value in one.values if known(value) is not None and value is not None]
        if found:
            reaches.append(f"{label(one.name)} from {write(min(found))} to {write(max(found))}")
    if not reaches:
        return NOTHING_HERE
    return f"{points.texts[0]} to {points.texts[-1]}: {', '.join(reaches)}."


def _table(points: TimePoints, write: Writer) -> ValueTable:
    rows = [
        [text, *(NO_VALUE if one.values[n] is None else write(one.values[n] or 0) for one in points.series)]
        for n, text in enumerate(points.texts)
    ]
    return ValueTable(["Time", *(label(one.name) for one in points.series)], rows)
