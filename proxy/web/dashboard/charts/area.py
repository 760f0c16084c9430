"""Amounts over time, stacked: how much in all, and of what."""

from collections.abc import Sequence
from itertools import pairwise

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
from proxy.web.dashboard.charts.series import DRAWN, Number, Series, Writer, amount, top_series, total
from proxy.web.dashboard.charts.time_axis import TimeAxis

_NAME_CHARS = 28
_MARK_ROOM = 13.0  # how thick a layer must be to hold its mark


def area(chart: Chart, axis: TimeAxis, series: Sequence[Series], write: Writer, most: int = DRAWN) -> Markup:
    """Return series stacked over time, the largest at the bottom; those beyond ``most`` together as "other".

    What is below zero (refunds) is stacked downwards.
    """
    if not series or not axis.starts_ms:
        return empty_figure(chart, "area")
    points = time_points(axis, top_series(series, most), sum)
    layers = _layers(points.series, len(points.texts))
    edges = [edge for layer in layers for pair in layer for edge in pair]
    rough = value_scale(edges, 0, 1)
    canvas = plot_canvas([write(tick) for tick in rough.ticks])
    scale = value_scale(edges, canvas.floor, canvas.top)
    xs = [time_place(points.axis, at_ms, canvas) for at_ms in points.axis.starts_ms]
    totals = [total([one.values[n] for one in points.series]) for n in range(len(xs))]
    svg = drawing(
        chart,
        canvas,
        _description(points, totals, write),
        value_grid(scale, canvas, write),
        element("g", *_layer_parts(layers, points.series, xs, scale, canvas), aria_hidden="true"),
        time_words(points.axis, canvas),
        *_points(points, totals, xs, scale, canvas, write),
    )
    legend = legend_list([
        LegendEntry(series_class(n, one.is_other), one.name, write(total(one.values)), one.link, mark(n))
        for n, one in enumerate(points.series)
    ])  # fmt: skip
    return figure(chart, "area", svg, _table(points, totals, write), legend)


def _layers(series: Sequence[Series], count: int) -> list[list[tuple[Number, Number]]]:
    """Return for each series, for each point, where its layer begins and ends."""
    above: list[Number] = [0] * count
    below: list[Number] = [0] * count
    layers = []
    for one in series:
        layer = []
        for n in range(count):
            value = amount(one.values[n])
            stack = above if value >= 0 else below
            layer.append((stack[n], stack[n] + value))
            stack[n] += value
        layers.append(layer)
    return layers


def _layer_parts(
    layers: Sequence[Sequence[tuple[Number, Number]]],
    series: Sequence[Series],
    xs: Sequence[float],
    scale: Scale,
    canvas: Canvas,
) -> list[Markup]:
    parts, marks = [], []
    for place, (layer, one) in enumerate(zip(layers, series, strict=True)):
        across = [canvas.left, canvas.end] if len(xs) == 1 else xs  # one point is as wide as the plot
        ends = [(scale.at(start), scale.at(end)) for start, end in layer] * (2 if len(xs) == 1 else 1)
        top = [f"{x:.1f} {end:.1f}" for x, (_, end) in zip(across, ends, strict=True)]
        bottom = [f"{x:.1f} {start:.1f}" for x, (start, _) in zip(across, ends, strict=True)]
        if not top:
            continue
        parts.append(
            element(
                "g",
                element("path", class_="fill", d=f"M{'L'.join([*top, *reversed(bottom)])}Z"),
                element("path", class_="edge", d=f"M{'L'.join(top)}"),
                class_=series_class(place, one.is_other),
            )
        )
        marks.append(_layer_mark(place, across, ends))
    return [*parts, *(each for each in marks if each is not None)]


def _layer_mark(place: int, xs: Sequence[float], ends: Sequence[tuple[float, float]]) -> Markup | None:
    """Return the mark of a layer at its thickest place; None where it is too thin."""
    thick, x, y = max((abs(end - start), x, (start + end) / 2) for x, (start, end) in zip(xs, ends, strict=True))
    if thick < _MARK_ROOM:
        return None
    first, last = xs[0] + 9, xs[-1] - 9  # the mark stays within the plot
    return element(
        "text", mark(place), class_="mark", x=min(max(x, first), last), y=y, dy="0.35em", text_anchor="middle"
    )


def _points(
    points: TimePoints, totals: Sequence[Number], xs: Sequence[float], scale: Scale, canvas: Canvas, write: Writer
) -> list[Markup]:
    middles = [canvas.left, *((a + b) / 2 for a, b in pairwise(xs)), canvas.end]
    parts = []
    for n, x in enumerate(xs):
        lines = [f"{points.texts[n]}: {write(totals[n])}"]
        lines += [
            f"{isolated(label(one.name, _NAME_CHARS))} {write(value)}"
            for one in points.series
            if (value := amount(one.values[n])) != 0
        ]
        hit = Box(middles[n], canvas.top, max(0.0, middles[n + 1] - middles[n]), canvas.floor - canvas.top)
        cursor = element("path", class_="cursor", d=f"M{x:.1f} {canvas.top:.1f}V{canvas.floor:.1f}")
        top = sum(value for one in points.series if (value := amount(one.values[n])) > 0)
        dot = element("circle", class_="dot", cx=x, cy=scale.at(top), r=4)
        parts.append(point(lines, hit, canvas, cursor, dot))
    return parts


def _description(points: TimePoints, totals: Sequence[Number], write: Writer) -> str:
    highest = max(range(len(totals)), key=lambda n: totals[n])
    return (
        f"{write(total(totals))} in all, {points.texts[0]} to {points.texts[-1]}; "
        f"most in {points.texts[highest]}: {write(totals[highest])}.{joined_note(points, 'the sum')}"
    )


def _table(points: TimePoints, totals: Sequence[Number], write: Writer) -> ValueTable:
    rows = [
        [points.texts[n], *(write(amount(one.values[n])) for one in points.series), write(totals[n])]
        for n in range(len(totals))
    ]
    return ValueTable(["Time", *(label(one.name) for one in points.series), "Total"], rows)
