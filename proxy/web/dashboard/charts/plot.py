"""What charts over time have in common: the points, their places, the grid and the words below it."""

from collections.abc import Callable, Sequence
from typing import Final

from markupsafe import Markup
from msgspec import Struct

from proxy.web.dashboard.charts.element import element
from proxy.web.dashboard.charts.figure import Canvas
from proxy.web.dashboard.charts.label import width_em
from proxy.web.dashboard.charts.scale import Scale
from proxy.web.dashboard.charts.series import Number, Series, Writer, joined, runs
from proxy.web.dashboard.charts.time_axis import TimeAxis

WIDTH: Final = 600.0
HEIGHT: Final = 240.0
MOST_POINTS: Final = 93  # three months of days; neighbours of more are drawn as one point
_WIDEST_LABELS: Final = 150.0
_NARROW_FONT: Final = 21.0  # labels grow where the drawing is shown small (charts.css); there must be room for them


class TimePoints(Struct, frozen=True):
    """The points that are drawn: their words, and the series with a value for each."""

    axis: TimeAxis
    texts: Sequence[str]
    series: Sequence[Series]
    joined: int  # how many of the points that were given each of them stands for


def time_points(axis: TimeAxis, series: Sequence[Series], join: Callable[[list[Number]], Number]) -> TimePoints:
    """Return what is drawn of series: neighbouring points joined by sum or max where there are too many."""
    groups = runs(len(axis.starts_ms), MOST_POINTS)
    return TimePoints(
        axis.every(groups),
        [axis.span_text(group) for group in groups],
        [joined(one, groups, join) for one in series],
        len(groups[0]) if groups else 1,
    )


def plot_canvas(labels: Sequence[str], height: float = HEIGHT) -> Canvas:
    """Return a canvas with room for labels of values at the left and for words below."""
    widest = max((width_em(text) for text in labels), default=0.0)
    return Canvas(WIDTH, height, left=min(_WIDEST_LABELS, widest * _NARROW_FONT + 8), right=26, top=12, bottom=30)


def value_grid(scale: Scale, canvas: Canvas, write: Writer) -> Markup:
    """Return the lines of round values across the plot, each with its value at the left."""
    parts = []
    for tick in scale.ticks:
        y = scale.at(tick)
        parts += [
            element("path", class_="zero" if tick == 0 else "grid", d=f"M{canvas.left:.1f} {y:.1f}H{canvas.end:.1f}"),
            element("text", write(tick), class_="tick", x=canvas.left - 6, y=y, dy="0.35em", text_anchor="end"),
        ]
    return element("g", *parts, class_="axis", aria_hidden="true")


def time_words(axis: TimeAxis, canvas: Canvas) -> Markup:
    """Return the ticks of time below the plot; where there is little room every other one is left out."""
    parts = [
        element(
            "text",
            tick.text,
            class_="tick roomy" if n % 2 else "tick",
            x=time_place(axis, tick.at_ms, canvas),
            y=canvas.height - 6,
            text_anchor="middle",
        )
        for n, tick in enumerate(axis.ticks())
    ]
    return element("g", *parts, class_="axis", aria_hidden="true")


def time_place(axis: TimeAxis, at_ms: int, canvas: Canvas) -> float:
    """Return where an instant lies in the plot."""
    return canvas.left + axis.share(at_ms) * (canvas.end - canvas.left)


def joined_note(points: TimePoints, word: str) -> str:
    """Return what to say where a point stands for several; else nothing. word: as "the sum"."""
    return f" Each point is {word} of {points.joined}." if points.joined > 1 else ""
