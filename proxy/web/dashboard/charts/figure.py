"""The figure around a chart: its title, the drawing, the legend, and the values as a table."""

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup
from msgspec import Struct

from proxy.web.dashboard.charts.element import element, slug
from proxy.web.dashboard.charts.label import full_label, label

TIP_WIDTH: Final = 290.0  # of a drawing that is 600 wide: less than half, so that a tip fits beside each point
NOTHING_HERE: Final = "Nothing in this period."
_LEGEND_CHARS: Final = 40


class Canvas(Struct, frozen=True):
    """The drawing's own coordinates: its size, and the part within that values are drawn in."""

    width: float
    height: float
    left: float = 0.0
    right: float = 0.0
    top: float = 0.0
    bottom: float = 0.0

    @property
    def viewbox(self) -> str:
        """Return the attribute viewBox."""
        return f"0 0 {self.width:g} {self.height:g}"

    @property
    def end(self) -> float:
        """Return where the plot ends at the right."""
        return self.width - self.right

    @property
    def floor(self) -> float:
        """Return where the plot ends at the bottom."""
        return self.height - self.bottom


class Box(Struct, frozen=True):
    """A rectangle in a drawing."""

    x: float
    y: float
    width: float
    height: float


class LegendEntry(Struct, frozen=True):
    """A line of a legend: the class that colours it, its name, its value as text, the address of its page."""

    colour: str
    name: str
    value: str
    link: str | None = None
    mark: str = ""


class ValueTable(Struct, frozen=True):
    """The values of a chart, as texts: the heads of the columns, and rows that begin with what they are about."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


class Chart(Struct, frozen=True):
    """What every chart has. name: begins its ids, once a page; note: of what period and zone, below the title."""

    name: str
    title: str
    note: str = ""


def figure(chart: Chart, kind: str, svg: Markup, table: ValueTable, legend: Markup | None = None) -> Markup:
    """Return a whole figure. kind: its class; svg: the drawing, described by the elements that ``drawing`` names."""
    return element(
        "figure",
        _caption(chart),
        svg,
        legend,
        _details(chart, table),
        class_=f"chart chart-{kind}",
        id=chart.name,
    )


def empty_figure(chart: Chart, kind: str, words: str = NOTHING_HERE) -> Markup:
    """Return the figure of a chart that has nothing to draw: its title, and words that say so."""
    return element(
        "figure",
        _caption(chart),
        element("p", words, class_="nothing"),
        class_=f"chart chart-{kind}",
        id=slug(chart.name),
    )


def _caption(chart: Chart) -> Markup:
    return element(
        "figcaption",
        element("span", chart.title, class_="chart-title", id=f"{slug(chart.name)}-title"),
        element("span", chart.note, class_="chart-note") if chart.note else None,
    )


def drawing(chart: Chart, canvas: Canvas, description: str, *parts: Markup | None) -> Markup:
    """Return the drawing with its title and description. Its points are images of their own, so it is a group."""
    ids = f"{slug(chart.name)}-title {chart.name}-text"
    return element(
        "svg",
        element("desc", description, id=f"{chart.name}-text"),
        *parts,
        viewBox=canvas.viewbox,
        role="group",
        aria_labelledby=ids,
    )


def point(lines: Sequence[str], hit: Box, canvas: Canvas, *marks: Markup) -> Markup:
    """Return a place of the drawing that shows its values when pointed at, touched or reached by the keyboard.

    lines: the values in words; marks: what is drawn meanwhile.
    """
    on_left = hit.x + hit.width / 2 <= canvas.width / 2
    x = hit.x + hit.width if on_left else hit.x - TIP_WIDTH
    return element(
        "g",
        element("rect", class_="hit", x=hit.x, y=hit.y, width=hit.width, height=hit.height),
        *marks,
        element(
            "foreignObject",
            element("p", "\n".join(lines)),
            class_="tip" if on_left else "tip tip-left",
            x=min(max(0.0, x), canvas.width - TIP_WIDTH),
            width=TIP_WIDTH,
            height=canvas.height,
        ),
        class_="point",
        tabindex=0,
        role="img",
        aria_label="; ".join(lines),
    )


def legend_list(entries: Sequence[LegendEntry]) -> Markup:
    """Return the legend: each entry with its colour, its mark, its name in full as a title, and its value."""
    return element("ul", *(_legend_line(entry) for entry in entries), class_="legend")


def named(name: str, link: str | None, most: int = _LEGEND_CHARS) -> Markup:
    """Return a name for HTML: cut, with the whole of it as a title, as a link where it has a page."""
    short, full = label(name, most), full_label(name)
    inner = element("bdi", short)
    title = full if full != short else None
    if link is None:
        return element("span", inner, class_="name", title=title)
    if not link.startswith("/"):
        raise ValueError("a chart links within the dashboard only")
    return element("a", inner, class_="name", href=link, title=title)


def _legend_line(entry: LegendEntry) -> Markup:
    swatch = element(
        "svg",
        element("rect", class_="fill", x=1, y=1, width=22, height=10),
        element("path", class_="edge", d="M0 6H24"),
        class_=f"swatch {entry.colour}",
        viewBox="0 0 24 12",
        aria_hidden="true",
    )
    mark = element("span", entry.mark, class_="mark") if entry.mark else None
    return element(
        "li",
        swatch,
        mark,
        named(entry.name, entry.link),
        " ",
        element("span", entry.value, class_="value"),
    )


def _details(chart: Chart, table: ValueTable) -> Markup:
    head = [element("th", element("bdi", text), scope="col") for text in table.head]
    rows = [
        element("tr", element("th", element("bdi", row[0]), scope="row"), *(element("td", text) for text in row[1:]))
        for row in table.rows
    ]
    return element(
        "details",
        element("summary", "Values", element("span", f" of {chart.title}", class_="unseen")),
        element(
            "div",
            element(
                "table",
                element("caption", chart.title, class_="unseen"),
                element("thead", element("tr", *head)),
                element("tbody", *rows),
            ),
            class_="values",
            tabindex=0,
            role="region",
            aria_label=f"Values of {chart.title}",
        ),
    )
