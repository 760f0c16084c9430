"""A histogram: how many fall into each bucket, as answers by their latency, with marks at percentiles."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from markupsafe import Markup
from msgspec import Struct

from proxy.web.dashboard.charts.element import element
from proxy.web.dashboard.charts.figure import (
    NOTHING_HERE,
    Box,
    Canvas,
    Chart,
    ValueTable,
    drawing,
    empty_figure,
    figure,
    point,
)
from proxy.web.dashboard.charts.plot import plot_canvas, value_grid
from proxy.web.dashboard.charts.scale import Scale, value_scale
from proxy.web.dashboard.charts.series import Number, Writer, amount

_WORDS: Final = 8


class ValueMark(Struct, frozen=True):
    """A value that is marked among the buckets, as p95."""

    name: str
    value: Number


def histogram(
    chart: Chart,
    bounds: Sequence[Number],
    counts: Sequence[int],
    write_bound: Writer,
    write_count: Writer,
    marks: Sequence[ValueMark] = (),
) -> Markup:
    """Return one column a bucket, each as wide as the other whatever its bounds.

    bounds: of the buckets, rising: one more than there are counts. Raises ValueError otherwise.
    """
    if counts and len(bounds) != len(counts) + 1:
        raise ValueError(f"{len(counts)} buckets have {len(counts) + 1} bounds, not {len(bounds)}")
    if not counts:
        return empty_figure(chart, "histogram")
    values = [max(0, amount(count)) for count in counts]
    canvas = plot_canvas([write_count(tick) for tick in value_scale(values, 0, 1).ticks])
    scale = value_scale(values, canvas.floor, canvas.top)
    names = [f"{write_bound(low)} to {write_bound(high)}" for low, high in pairwise(bounds)]
    svg = drawing(
        chart,
        canvas,
        _description(names, values, marks, write_bound, write_count),
        value_grid(scale, canvas, write_count),
        _words(bounds, len(values), canvas, write_bound),
        *(_bucket(n, value, names[n], scale, canvas, write_count, len(values)) for n, value in enumerate(values)),
        *(_mark(n, each, bounds, canvas) for n, each in enumerate(marks)),
    )
    table = ValueTable(
        ["From, to", "Count"], [[name, write_count(value)] for name, value in zip(names, values, strict=False)]
    )
    return figure(chart, "histogram", svg, table)


def _bucket(n: int, value: Number, name: str, scale: Scale, canvas: Canvas, write_count: Writer, count: int) -> Markup:
    room = (canvas.end - canvas.left) / count
    start, end = canvas.left + n * room, scale.at(value)
    bar = element(
        "rect", class_="column s1", x=start + room * 0.04, y=end, width=room * 0.92, height=canvas.floor - end
    )
    hit = Box(start, canvas.top, room, canvas.floor - canvas.top)
    return point([name, write_count(value)], hit, canvas, bar)


def _mark(n: int, mark: ValueMark, bounds: Sequence[Number], canvas: Canvas) -> Markup:
    x = canvas.left + _place(mark.value, bounds) * (canvas.end - canvas.left)
    anchor = "start" if x < canvas.width / 2 else "end"
    return element(
        "g",
        element("path", class_="cut", d=f"M{x:.1f} {canvas.top:.1f}V{canvas.floor:.1f}"),
        element(
            "text",
            mark.name,
            class_="mark",
            x=x + (4 if anchor == "start" else -4),
            y=canvas.top,
            dy=f"{0.9 + 1.2 * n:g}em",  # each below the other: they may be near one another
            text_anchor=anchor,
        ),
        aria_hidden="true",
    )


def _place(value: Number, bounds: Sequence[Number]) -> float:
    """Return where a value lies between the first bound, 0, and the last, 1, each bucket being as wide."""
    buckets = len(bounds) - 1
    for n, (low, high) in enumerate(pairwise(bounds)):
        if value < high:
            within = (amount(value) - low) / (high - low) if high > low else 0.0
            return (n + max(0.0, within)) / buckets
    return 1.0


def _words(bounds: Sequence[Number], count: int, canvas: Canvas, write_bound: Writer) -> Markup:
    every = -(-count // _WORDS) or 1
    parts = [
        element(
            "text",
            write_bound(bounds[n]),
            class_="tick roomy" if place % 2 else "tick",
            x=canvas.left + n * (canvas.end - canvas.left) / count,
            y=canvas.height - 6,
            text_anchor="middle",
        )
        for place, n in enumerate(range(0, count + 1, every))
    ]
    return element("g", *parts, class_="axis", aria_hidden="true")


def _description(
    names: Sequence[str], values: Sequence[Number], marks: Sequence[ValueMark], write_bound: Writer, write_count: Writer
) -> str:
    if not any(values):
        return NOTHING_HERE
    most = max(range(len(values)), key=lambda n: values[n])
    cuts = "".join(f", {mark.name} {write_bound(mark.value)}" for mark in marks)
    return f"{write_count(sum(values))} in all, most of them {names[most]}{cuts}."
