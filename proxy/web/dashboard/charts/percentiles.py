"""How wide the figures of several things are spread: the middle one, and what most do not exceed, on one scale."""

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup
from msgspec import Struct

from proxy.web.dashboard.charts.element import element
from proxy.web.dashboard.charts.figure import Chart, ValueTable, empty_figure, figure, named
from proxy.web.dashboard.charts.label import label
from proxy.web.dashboard.charts.scale import Scale, value_scale
from proxy.web.dashboard.charts.series import Number, Writer, amount

_LENGTH: Final = 300.0
_HEIGHT: Final = 14.0
_EDGE: Final = 6.0


class Spread(Struct, frozen=True):
    """What half of the figures do not exceed, 95 and 99 of a hundred; the address of a page of its own."""

    name: str
    p50: Number
    p95: Number
    p99: Number
    link: str | None = None


def percentiles(chart: Chart, spreads: Sequence[Spread], write: Writer) -> Markup:
    """Return a line for each, in their order, all on one scale from zero: a dot at p50, a bar at p95, an end at p99.

    Names and figures are text that everybody reads; the line is a picture beside them.
    """
    if not spreads:
        return empty_figure(chart, "percentiles")
    scale = value_scale([amount(one.p99) for one in spreads], _EDGE, _LENGTH - _EDGE)
    table = ValueTable(
        ["Name", "p50", "p95", "p99"],
        [[label(one.name), *(write(amount(value)) for value in (one.p50, one.p95, one.p99))] for one in spreads],
    )
    body = element("ol", *(_line(one, scale, write) for one in spreads), class_="ranking")
    return figure(chart, "percentiles", body, table)


def _line(one: Spread, scale: Scale, write: Writer) -> Markup:
    p50, p95, p99 = (scale.at(amount(value)) for value in (one.p50, one.p95, one.p99))
    middle = _HEIGHT / 2
    picture = element(
        "svg",
        element("path", class_="track", d=f"M{_EDGE:g} {middle:g}H{_LENGTH - _EDGE:g}"),
        element("path", class_="reach", d=f"M{p50:.1f} {middle:g}H{p95:.1f}"),
        element("path", class_="rest", d=f"M{p95:.1f} {middle:g}H{p99:.1f}M{p99:.1f} 4V{_HEIGHT - 4:g}"),
        element("path", class_="reach", d=f"M{p95:.1f} 2V{_HEIGHT - 2:g}"),
        element("circle", class_="fill", cx=p50, cy=middle, r=4),
        class_="spread s1",
        viewBox=f"0 0 {_LENGTH:g} {_HEIGHT:g}",
        aria_hidden="true",
    )
    words = f"{write(amount(one.p50))} · {write(amount(one.p95))} · {write(amount(one.p99))}"
    return element("li", named(one.name, one.link), element("span", words, class_="value"), picture)
