"""Shares of a whole: a ring, with its legend as the list of values."""

import math
from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from proxy.web.dashboard.charts.bars import Share, percent, top_shares
from proxy.web.dashboard.charts.element import element, number
from proxy.web.dashboard.charts.figure import Chart, LegendEntry, ValueTable, empty_figure, figure, legend_list
from proxy.web.dashboard.charts.label import isolated, label
from proxy.web.dashboard.charts.palette import mark, series_class
from proxy.web.dashboard.charts.series import DRAWN, Writer, amount, total

_SIZE: Final = 120.0
_MIDDLE: Final = 60.0
_RADIUS: Final = 48.0
_HALF: Final = 10.0  # of the ring's thickness
_WITH_MARK: Final = 0.05  # a smaller piece has no room for its mark


def shares(chart: Chart, parts: Sequence[Share], write: Writer, most: int = DRAWN) -> Markup:
    """Return a ring of shares, clockwise from the top in the order of the legend, with the whole in its middle.

    What is below zero (refunds) takes no part of the ring; the legend lists it, and the whole counts it.
    """
    if not parts:
        return empty_figure(chart, "shares")
    ranked = top_shares(parts, most)
    whole = total([one.value for one in parts])
    drawn = [(n, one) for n, one in enumerate(ranked) if amount(one.value) > 0]
    ring = total([one.value for _, one in drawn])
    title = f"{chart.name}-title {chart.name}-text"
    svg = element(
        "svg",
        element("desc", _description(ranked, whole, write), id=f"{chart.name}-text"),
        element("circle", class_="ring ring-empty", cx=_MIDDLE, cy=_MIDDLE, r=_RADIUS) if not drawn else None,
        *_ring(drawn, ring, write),
        element("text", write(whole), class_="whole", x=_MIDDLE, y=_MIDDLE, dy="0.35em", text_anchor="middle"),
        class_="ring-drawing",
        viewBox=f"0 0 {_SIZE:g} {_SIZE:g}",
        role="img",
        aria_labelledby=title,
    )
    legend = legend_list([
        LegendEntry(
            series_class(n, one.is_other),
            one.name,
            f"{write(amount(one.value))} · {percent(amount(one.value), whole)}",
            one.link,
            mark(n),
        )
        for n, one in enumerate(ranked)
    ])  # fmt: skip
    table = ValueTable(
        ["Name", "Value", "Share"],
        [[label(one.name), write(amount(one.value)), percent(amount(one.value), whole)] for one in ranked],
    )
    return figure(chart, "shares", svg, table, legend)


def _ring(drawn: Sequence[tuple[int, Share]], ring: float, write: Writer) -> list[Markup]:
    pieces, gaps, marks = [], [], []
    start = 0.0
    for place, one in drawn:
        share = amount(one.value) / ring
        pieces.append(
            element(
                "circle",
                element("title", f"{isolated(label(one.name))} {write(one.value)}"),
                class_=f"ring {series_class(place, one.is_other)}",
                cx=_MIDDLE,
                cy=_MIDDLE,
                r=_RADIUS,
                pathLength=1,
                stroke_dasharray=f"{share:.6f} {max(0.0, 1 - share):.6f}",
                stroke_dashoffset=f"{-start:.6f}",
            )
        )
        if len(drawn) > 1:
            (x1, y1), (x2, y2) = _at(start, _RADIUS - _HALF), _at(start, _RADIUS + _HALF)
            gaps.append(element("path", class_="gap", d=f"M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}"))
        if share >= _WITH_MARK:
            x, y = _at(start + share / 2, _RADIUS)
            marks.append(element("text", mark(place), class_="mark", x=x, y=y, dy="0.35em", text_anchor="middle"))
        start += share
    # A circle begins at three o'clock; the shares begin at twelve.
    turned = element("g", *pieces, transform=f"rotate(-90 {_MIDDLE:g} {_MIDDLE:g})")
    return [turned, *gaps, *marks]


def _at(share: float, radius: float) -> tuple[float, float]:
    """Return the place at a share of the way round, clockwise from the top."""
    angle = 2 * math.pi * share
    return _MIDDLE + radius * math.sin(angle), _MIDDLE - radius * math.cos(angle)


def _description(ranked: Sequence[Share], whole: float, write: Writer) -> str:
    first = ranked[0]
    return (
        f"{write(whole)} in all; the largest share is {label(first.name)} with {write(amount(first.value))}, "
        f"{percent(amount(first.value), whole)}."
    )
