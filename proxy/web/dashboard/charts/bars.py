"""A ranking: one horizontal bar for each name, the longest first."""

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup
from msgspec import Struct

from proxy.web.dashboard.charts.element import element
from proxy.web.dashboard.charts.figure import Chart, ValueTable, empty_figure, figure, named
from proxy.web.dashboard.charts.label import label
from proxy.web.dashboard.charts.scale import Scale, value_scale
from proxy.web.dashboard.charts.series import NO_VALUE, OTHER, Number, Writer, amount, total

MOST_BARS: Final = 10
_LENGTH: Final = 300.0
_THICK: Final = 12.0


class Share(Struct, frozen=True):
    """A part of a whole: its name, its value, the address of its page."""

    name: str
    value: Number
    link: str | None = None
    is_other: bool = False


def top_shares(shares: Sequence[Share], most: int) -> list[Share]:
    """Return the largest shares, the largest first, and the sum of the rest as "other": ``most`` in all."""
    ranked = sorted(shares, key=lambda one: (one.is_other, -abs(amount(one.value))))
    if len(ranked) <= most:
        return ranked
    rest = ranked[most - 1 :]
    return [*ranked[: most - 1], Share(f"{OTHER} ({len(rest)})", total([one.value for one in rest]), is_other=True)]


def percent(value: Number, whole: Number) -> str:
    """Return a share of a whole in words: 47 %, <1 %, or a dash where there is no whole."""
    if not whole:
        return NO_VALUE
    share = 100 * (value / whole)
    return "<1 %" if 0 < share < 1 else f"{share:.0f} %"


def bars(chart: Chart, shares: Sequence[Share], write: Writer, most: int = MOST_BARS) -> Markup:
    """Return a ranking with names, bars, values and shares of the whole as a list; refunds go to the left of zero.

    The list is text that everybody reads, so each bar is a picture beside its words and there are no points.
    """
    if not shares:
        return empty_figure(chart, "bars")
    ranked = top_shares(shares, most)
    whole = total([one.value for one in shares])
    scale = value_scale([amount(one.value) for one in ranked], 0, _LENGTH)
    lines = [_line(one, scale, whole, write) for one in ranked]
    body = element("ol", *lines, class_="ranking")
    table = ValueTable(
        ["Name", "Value", "Share"],
        [[label(one.name), write(amount(one.value)), percent(amount(one.value), whole)] for one in ranked],
    )
    return figure(chart, "bars", body, table)


def _line(one: Share, scale: Scale, whole: Number, write: Writer) -> Markup:
    zero, end = scale.at(0), scale.at(amount(one.value))
    bar = element(
        "svg",
        element("path", class_="track", d=f"M0 {_THICK:g}H{_LENGTH:g}"),
        element("rect", class_="fill", x=min(zero, end), y=0, width=abs(end - zero), height=_THICK),
        class_="rank-bar s-other" if one.is_other else "rank-bar s1",
        viewBox=f"0 0 {_LENGTH:g} {_THICK:g}",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
    return element(
        "li",
        named(one.name, one.link),
        element("span", write(amount(one.value)), class_="value"),
        element("span", percent(amount(one.value), whole), class_="share"),
        bar,
    )
