"""Columns: a value for each day, or two side by side that are compared, as the ledger's and the bill's."""

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from proxy.web.dashboard.charts.element import element
from proxy.web.dashboard.charts.figure import (
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
from proxy.web.dashboard.charts.plot import TimePoints, joined_note, plot_canvas, time_points, value_grid
from proxy.web.dashboard.charts.scale import Scale, value_scale
from proxy.web.dashboard.charts.series import Series, Writer, amount, total
from proxy.web.dashboard.charts.time_axis import TimeAxis

SIDE_BY_SIDE: Final = 2
_FILLED: Final = 0.76  # of the room of a point; the rest is the gap to its neighbour
_WORDS: Final = 8
_NAME_CHARS: Final = 28


def columns(chart: Chart, axis: TimeAxis, series: Sequence[Series], write: Writer) -> Markup:
    """Return columns over time, of one series or two side by side; the second is hollow, so it needs no colour.

    Raises ValueError for more than two series: those are stacked by ``area``.
    """
    if len(series) > SIDE_BY_SIDE:
        raise ValueError("columns stand alone or two side by side; stack more than that by area()")
    if not series or not axis.starts_ms:
        return empty_figure(chart, "columns")
    points = time_points(axis, series, sum)
    values = [amount(value) for one in points.series for value in one.values]
    canvas = plot_canvas([write(tick) for tick in value_scale(values, 0, 1).ticks])
    scale = value_scale(values, canvas.floor, canvas.top)
    svg = drawing(
        chart,
        canvas,
        _description(points, write),
        value_grid(scale, canvas, write),
        _words(points, canvas),
        *(_point(points, n, scale, canvas, write) for n in range(len(points.texts))),
    )
    legend = legend_list([
        LegendEntry(_colour(n), one.name, write(total(one.values)), one.link, mark(n))
        for n, one in enumerate(points.series)
    ])  # fmt: skip
    return figure(chart, "columns", svg, _table(points, write), legend if len(series) > 1 else None)


def _colour(place: int) -> str:
    return f"{series_class(place)} hollow" if place else series_class(place)


def _point(points: TimePoints, n: int, scale: Scale, canvas: Canvas, write: Writer) -> Markup:
    room = (canvas.end - canvas.left) / len(points.texts)
    start = canvas.left + n * room
    width = room * _FILLED / max(1, len(points.series))
    drawn, words = [], [points.texts[n]]
    for place, one in enumerate(points.series):
        value = amount(one.values[n])
        words.append(f"{isolated(label(one.name, _NAME_CHARS))} {write(value)}")
        zero, end = scale.at(0), scale.at(value)
        drawn.append(
            element(
                "rect",
                class_=f"column {_colour(place)}",
                x=start + room * (1 - _FILLED) / 2 + place * width,
                y=min(zero, end),
                width=width,
                height=abs(end - zero),
            )
        )
    hit = Box(start, canvas.top, room, canvas.floor - canvas.top)
    return point(words, hit, canvas, *drawn)


def _words(points: TimePoints, canvas: Canvas) -> Markup:
    """Return the words below: of every point, or of as many as there is room for."""
    count = len(points.texts)
    every = -(-count // _WORDS) or 1
    parts = [
        element(
            "text",
            _short(points.texts[n]),
            class_="tick roomy" if place % 2 else "tick",
            x=canvas.left + (n + 0.5) * (canvas.end - canvas.left) / count,
            y=canvas.height - 6,
            text_anchor="middle",
        )
        for place, n in enumerate(range(0, count, every))
    ]
    return element("g", *parts, class_="axis", aria_hidden="true")


def _short(text: str) -> str:
    """Return a point's words without the year of its day: 2026-11-03 -> 11-03, 2026-11-03 14:00 -> 14:00."""
    first = text.split(" to ", maxsplit=1)[0]
    return first[11:16] if len(first) > 10 else first[5:] if len(first) == 10 else first


def _description(points: TimePoints, write: Writer) -> str:
    sums = ", ".join(f"{label(one.name)} {write(total(one.values))}" for one in points.series)
    return f"{points.texts[0]} to {points.texts[-1]}: {sums} in all.{joined_note(points, 'the sum')}"


def _table(points: TimePoints, write: Writer) -> ValueTable:
    rows = [[text, *(write(amount(one.values[n])) for one in points.series)] for n, text in enumerate(points.texts)]
    return ValueTable(["Time", *(label(one.name) for one in points.series)], rows)
