"""What is to be expected: a line into the future, the band it may end in, and the level it is held against."""

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup
from msgspec import Struct

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
from proxy.web.dashboard.charts.label import label
from proxy.web.dashboard.charts.plot import plot_canvas, value_grid
from proxy.web.dashboard.charts.scale import Scale, value_scale
from proxy.web.dashboard.charts.series import Number, Writer, amount

_WORDS: Final = 8


class ProjectedPoint(Struct, frozen=True):
    """What is expected by the end of a period: at least, probably, at most."""

    text: str
    low: Number
    middle: Number
    high: Number


class Level(Struct, frozen=True):
    """An amount that the line is compared with, as what a machine of one's own would cost."""

    name: str
    value: Number


def projection(chart: Chart, points: Sequence[ProjectedPoint], write: Writer, level: Level | None = None) -> Markup:
    """Return the line with its band, and the level as a dashed line across."""
    if not points:
        return empty_figure(chart, "projection", "Nothing to project from yet.")
    values = [amount(value) for each in points for value in (each.low, each.middle, each.high)]
    if level is not None:
        values.append(amount(level.value))
    canvas = plot_canvas([write(tick) for tick in value_scale(values, 0, 1).ticks])
    scale = value_scale(values, canvas.floor, canvas.top)
    xs = _places(len(points), canvas)
    svg = drawing(
        chart,
        canvas,
        _description(points, level, write),
        value_grid(scale, canvas, write),
        _band(points, xs, scale, canvas),
        _level(level, scale, canvas) if level is not None else None,
        _words(points, xs, canvas),
        *_points(points, xs, scale, canvas, write),
    )
    table = ValueTable(
        ["By", "At least", "Expected", "At most"],
        [[each.text, *(write(amount(value)) for value in (each.low, each.middle, each.high))] for each in points],
    )
    entries = [LegendEntry("s1", "expected", write(amount(points[-1].middle)))]
    if level is not None:
        entries.append(LegendEntry("s3 level", level.name, write(amount(level.value))))
    return figure(chart, "projection", svg, table, legend_list(entries))


def _places(count: int, canvas: Canvas) -> list[float]:
    if count == 1:
        return [(canvas.left + canvas.end) / 2]
    return [canvas.left + n * (canvas.end - canvas.left) / (count - 1) for n in range(count)]


def _band(points: Sequence[ProjectedPoint], xs: Sequence[float], scale: Scale, canvas: Canvas) -> Markup:
    across = [canvas.left, canvas.end] if len(xs) == 1 else xs  # one point is as wide as the plot
    each = [*points] * (2 if len(xs) == 1 else 1)
    low, middle, high = (
        [f"{x:.1f} {scale.at(amount(value)):.1f}" for x, value in zip(across, values, strict=True)]
        for values in ([one.low for one in each], [one.middle for one in each], [one.high for one in each])
    )
    return element(
        "g",
        element("path", class_="band", d=f"M{'L'.join([*high, *reversed(low)])}Z"),
        element("path", class_="edge", d=f"M{'L'.join(middle)}"),
        class_="s1",
        aria_hidden="true",
    )


def _level(level: Level, scale: Scale, canvas: Canvas) -> Markup:
    y = scale.at(amount(level.value))
    return element(
        "g",
        element("path", class_="edge", d=f"M{canvas.left:.1f} {y:.1f}H{canvas.end:.1f}"),
        class_="s3 level",
        aria_hidden="true",
    )


def _words(points: Sequence[ProjectedPoint], xs: Sequence[float], canvas: Canvas) -> Markup:
    every = -(-len(points) // _WORDS) or 1
    parts = [
        element(
            "text",
            label(points[n].text, 12),
            class_="tick roomy" if place % 2 else "tick",
            x=xs[n],
            y=canvas.height - 6,
            text_anchor="middle",
        )
        for place, n in enumerate(range(0, len(points), every))
    ]
    return element("g", *parts, class_="axis", aria_hidden="true")


def _points(
    points: Sequence[ProjectedPoint], xs: Sequence[float], scale: Scale, canvas: Canvas, write: Writer
) -> list[Markup]:
    parts = []
    for n, (each, x) in enumerate(zip(points, xs, strict=True)):
        start = (xs[n - 1] + x) / 2 if n else canvas.left
        end = (x + xs[n + 1]) / 2 if n + 1 < len(xs) else canvas.end
        words = [f"{each.text}: {write(amount(each.middle))}"]
        if each.low != each.high:
            words.append(f"{write(amount(each.low))} to {write(amount(each.high))}")
        dot = element("circle", class_="dot", cx=x, cy=scale.at(amount(each.middle)), r=4)
        hit = Box(start, canvas.top, max(0.0, end - start), canvas.floor - canvas.top)
        parts.append(point(words, hit, canvas, dot))
    return parts


def _description(points: Sequence[ProjectedPoint], level: Level | None, write: Writer) -> str:
    last = points[-1]
    words = f"{write(amount(last.middle))} by {last.text}"
    if last.low != last.high:
        words += f", {write(amount(last.low))} to {write(amount(last.high))}"
    if level is not None:
        above = next((each.text for each in points if amount(each.middle) >= amount(level.value)), None)
        words += f"; above {level.name} by {above}" if above else f"; below {level.name} throughout"
    return f"{words}."
