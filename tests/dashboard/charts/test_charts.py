"""What every chart holds: it parses as XML, lies within its drawing, escapes names, and adds up."""

import math
import re
from collections.abc import Callable
from typing import Any, Final
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from proxy.web.dashboard.charts.area import area
from proxy.web.dashboard.charts.bars import Share, bars
from proxy.web.dashboard.charts.columns import columns
from proxy.web.dashboard.charts.figure import Chart
from proxy.web.dashboard.charts.histogram import ValueMark, histogram
from proxy.web.dashboard.charts.limit_bar import limit_bar
from proxy.web.dashboard.charts.lines import lines
from proxy.web.dashboard.charts.projection import Level, ProjectedPoint, projection
from proxy.web.dashboard.charts.series import NO_VALUE, Number, Series
from proxy.web.dashboard.charts.shares import shares
from proxy.web.dashboard.charts.sparkline import sparkline
from proxy.web.dashboard.charts.time_axis import TimeAxis
from proxy.web.dashboard.charts.timeline import Phase, PhaseSpan, TimelineRow, timeline

DAY_MS: Final = 86_400_000
START_MS: Final = 1_790_000_000_000
NASTY: Final = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'\"&amp;</title></svg>",
    "]]><!-- {{ 7*7 }}",
    "שלום עולם",
    "\u202eevil\u202c",
    "👩‍👩‍👧‍👦" * 10,
    "Z̡̫̺͚a̵l̶g̷o" * 20,
    "a\x00b\x1b[31m\ud800\uffff",
    "two\nlines\ttabbed",
    "x" * 10_000,
    "漢字" * 200,
    "",
    " ",
]
VALUES: Final = st.one_of(
    st.integers(-(10**30), 10**30),
    st.integers(0, 5 * 10**12),
    st.just(0),
    st.none(),
    st.floats(),  # not a number and infinite ones too
)
TEXTS: Final = st.one_of(st.sampled_from(NASTY), st.text(max_size=30))
CHART: Final = Chart("a-chart", "Title <b>&", "30 days")


def write(value: Number) -> str:
    """Return a value as pages do, and one that would do harm unescaped."""
    return f"<{value}>"


def time_axis(count: int) -> TimeAxis:
    return TimeAxis([START_MS + n * DAY_MS for n in range(count)], ZoneInfo("Europe/Berlin"))


@st.composite
def all_series(draw: st.DrawFn, most: int = 12) -> tuple[TimeAxis, list[Series]]:
    count = draw(st.sampled_from([0, 1, 2, 3, 31]))
    values = st.lists(VALUES, min_size=count, max_size=count)
    series = draw(st.lists(st.builds(Series, TEXTS, values), max_size=most))
    return time_axis(count), series


def parsed(markup: Markup) -> ET.Element:
    return ET.fromstring(str(markup))  # noqa: S314 - our own output


def held(markup: Markup) -> ET.Element:
    """Return a chart parsed, after all that every chart must hold."""
    root = parsed(markup)
    for each in root.iter():
        assert "style" not in each.attrib
        assert each.tag not in {"script", "style", "img", "b", "h1"}, each.tag
        assert not [name for name in each.attrib if name.startswith("on")]
    for drawing in root.iter("svg"):
        _inside(drawing)
        assert drawing.get("aria-hidden") == "true" or drawing.get("aria-labelledby") or drawing.get("aria-label")
    ids = [each.attrib["id"] for each in root.iter() if "id" in each.attrib]
    assert len(ids) == len({*ids})
    for each in root.iter():
        assert {*each.get("aria-labelledby", "").split()} <= {*ids}
    for each in root.iter("g"):
        if each.get("tabindex") == "0":
            assert each.get("role") == "img"
            assert each.get("aria-label")
    return root


def _inside(drawing: ET.Element) -> None:
    _, _, width, height = (float(part) for part in drawing.attrib["viewBox"].split())
    for each in drawing.iter():
        x, y = (float(each.get(name, "0")) for name in ("x", "y"))
        right, bottom = x + float(each.get("width", "0")), y + float(each.get("height", "0"))
        if each.tag == "circle":
            x, y = right, bottom = float(each.attrib["cx"]), float(each.attrib["cy"])
        assert all(map(math.isfinite, (x, y, right, bottom)))
        if each is not drawing:
            assert -0.1 <= x <= right <= width + 0.2, (each.attrib, width)
            assert -0.1 <= y <= bottom <= height + 0.2, (each.attrib, height)
        assert re.fullmatch(r"[MLHVZ\d. -]*", each.get("d", "")), each.attrib
        for place in re.findall(r"-?[\d.]+", each.get("d", "")):
            assert -0.1 <= float(place) <= max(width, height) + 0.1, each.attrib


@given(all_series())
@settings(max_examples=30)
def test_areas(case: tuple[TimeAxis, list[Series]]) -> None:
    axis, series = case
    root = held(area(CHART, axis, series, write))
    if series and axis.starts_ms:
        assert len(root.findall(".//g[@class='point']")) == len(axis.starts_ms)
        assert len(root.findall(".//tbody/tr")) == len(axis.starts_ms)
        assert len(root.findall("ul/li")) == min(7, len(series))


@given(all_series(), st.sampled_from([max, sum]))
@settings(max_examples=30)
def test_lines(case: tuple[TimeAxis, list[Series]], join: Callable[[list[Number]], Number]) -> None:
    held(lines(CHART, *case, write, join))


@given(all_series(most=2))
@settings(max_examples=30)
def test_columns(case: tuple[TimeAxis, list[Series]]) -> None:
    held(columns(CHART, *case, write))


@given(st.lists(st.builds(Share, TEXTS, VALUES.map(lambda value: 0 if value is None else value)), max_size=20))
@settings(max_examples=30)
def test_shares_and_rankings(parts: list[Share]) -> None:
    held(bars(CHART, parts, write))
    root = held(shares(CHART, parts, write))
    pieces = [float(each.get("stroke-dasharray", "0").split()[0]) for each in root.iter("circle")]
    if any(isinstance(one.value, int) and one.value > 0 for one in parts):
        assert math.isclose(sum(pieces), 1, abs_tol=1e-4)


@given(st.data(), st.integers(0, 24))
@settings(max_examples=30)
def test_histograms(data: st.DataObject, buckets: int) -> None:
    counts = data.draw(st.lists(st.integers(0, 10**18), min_size=buckets, max_size=buckets))
    marks = data.draw(st.lists(st.builds(ValueMark, st.just("p95"), st.floats(-1, 1e9)), max_size=3))
    held(histogram(CHART, [2**n for n in range(buckets + 1)], counts, write, write, marks))


SPANS: Final = st.builds(
    lambda phase, start, length: PhaseSpan(phase, start, start + length),
    st.sampled_from(Phase),
    st.integers(0, 10**7),
    st.integers(0, 10**7),
)


@given(st.lists(st.builds(TimelineRow, TEXTS, TEXTS, st.lists(SPANS, max_size=3), st.booleans()), max_size=5))
@settings(max_examples=30)
def test_timelines(rows: list[TimelineRow]) -> None:
    held(timeline(CHART, rows, write))


AMOUNTS: Final = st.integers(-(10**16), 10**16)


@given(
    st.lists(
        st.builds(ProjectedPoint, st.sampled_from(["2026-12", "2027-01"]), AMOUNTS, AMOUNTS, AMOUNTS), max_size=36
    ),
    st.one_of(st.none(), st.builds(Level, TEXTS, AMOUNTS)),
)
@settings(max_examples=30)
def test_projections(points: list[ProjectedPoint], level: Level | None) -> None:
    held(projection(CHART, points, write, level))


@given(st.lists(VALUES, max_size=120))
@settings(max_examples=30)
def test_sparklines(values: list[Any]) -> None:
    held(sparkline("Requests", values, write))


@given(st.sampled_from(["", *NASTY[:3]]), st.integers(0, 1 << 62), st.integers(0, 1 << 62), st.integers(0, 1 << 62))
@settings(max_examples=30)
def test_limit_bars(label: str, used: int, reserved: int, amount: int) -> None:
    root = parsed(limit_bar(used, reserved, amount, label))
    track, drawn, reserve = (float(each.attrib["width"]) for each in root.iter() if each.tag.endswith("rect"))
    assert drawn + reserve <= track + 0.1
    is_spent = used >= amount
    assert ("spent" in root.attrib["class"].split()) is is_spent
    assert reserve == pytest.approx(min(100 * reserved / max(amount, 1), 100 - drawn), abs=0.1)
    assert drawn == pytest.approx(100 if is_spent and amount else min(100, 100 * used / max(amount, 1)), abs=0.1)


@pytest.mark.parametrize("name", NASTY)
def test_names_are_text(name: str) -> None:
    """A name is shown as it is, cut, with more of it in the title; it adds no element and no long text."""
    plain = area(CHART, time_axis(3), [Series("plain", [1, 2, 3])], str)
    root = held(chart := area(CHART, time_axis(3), [Series(name, [1, 2, 3])], str))
    assert [each.tag for each in root.iter()] == [each.tag for each in parsed(plain).iter()]
    assert len(chart) < len(plain) + 3_000
    shown = root.find("ul/li/span/bdi")
    assert shown is not None
    assert 0 < len(shown.text or "") <= 40
    if name.isascii() and name.isprintable() and name.strip() and len(name) <= 28:
        assert shown.text == name
    if len(name) > 1000:
        assert len(root.find("ul/li/span[@title]").attrib["title"]) == 500  # type: ignore[union-attr]


def test_layers_add_up() -> None:
    """The tip of each point and the last column of the table have the sum; 400 series are seven."""
    series = [Series(f"model {n}", [n, 2 * n, -n]) for n in range(400)]
    root = held(area(CHART, time_axis(3), series, str))
    sums = [row[-1].text for row in root.findall(".//tbody/tr")]
    assert sums == [str(sum(range(400))), str(2 * sum(range(400))), str(-sum(range(400)))]
    names = [each.text for each in root.findall("ul/li/span/bdi")]
    assert names == [f"model {n}" for n in range(399, 393, -1)] + ["other (394)"]
    tips = [each.attrib["aria-label"].split("; ") for each in root.findall(".//g[@class='point']")]
    for tip, whole in zip(tips, sums, strict=True):
        assert tip[0].endswith(f": {whole}")
        assert sum(int(line.rsplit(" ", 1)[1]) for line in tip[1:]) == int(whole or "")


def test_layers_are_as_high_as_their_values() -> None:
    root = held(area(CHART, time_axis(2), [Series("a", [30, 30]), Series("b", [10, 10])], str))
    heights = []
    for each in root.findall(".//path[@class='fill']"):
        ys = [float(place.split()[1]) for place in each.attrib["d"].strip("MZ").split("L")]
        heights.append(max(ys) - min(ys))
    assert heights[0] == pytest.approx(3 * heights[1], rel=0.01)


def test_a_line_breaks_where_nothing_is_known() -> None:
    root = held(lines(CHART, time_axis(5), [Series("p50", [1.0, None, 2.0, 3.0, None])], str))
    path = root.find(".//g[@class='lines']//path")
    assert path is not None
    assert path.attrib["d"].count("M") == 2
    assert len(root.findall(".//circle[@class='single']")) == 1  # the first, which has no neighbour
    assert [row[-1].text for row in root.findall(".//tbody/tr")] == ["1.0", NO_VALUE, "2.0", "3.0", NO_VALUE]


def test_many_points_are_joined() -> None:
    """Neighbours are drawn as one, which words say; nothing is lost of the sum."""
    axis, values = time_axis(720), list(range(720))
    root = held(area(CHART, axis, [Series("a", values)], str))
    rows = root.findall(".//tbody/tr")
    assert len(rows) == len(root.findall(".//g[@class='point']")) == 90
    assert sum(int(row[-1].text or "") for row in rows) == sum(values)
    assert rows[0][0][0].text == "2026-09-21 16:13:20 to 2026-09-28 16:13:20"
    assert "Each point is the sum of 8." in (root.find("svg/desc").text or "")  # type: ignore[union-attr]


def test_refunds() -> None:
    """What is below zero hangs below the line, takes no part of a ring, and counts in every sum."""
    parts = [Share("spent", 300), Share("back", -100)]
    root = held(shares(CHART, parts, str))
    assert [each.attrib["stroke-dasharray"] for each in root.iter("circle")] == ["1.000000 0.000000"]
    assert root.find(".//text[@class='whole']").text == "200"  # type: ignore[union-attr]
    assert [each.text for each in root.findall("ul/li/span[@class='value']")] == ["300 · 150 %", "-100 · -50 %"]
    layers = held(area(CHART, time_axis(2), [Series("spent", [3, 3]), Series("back", [-1, -1])], str))
    assert [row[-1].text for row in layers.findall(".//tbody/tr")] == ["2", "2"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: area(CHART, time_axis(0), [], str),
        lambda: lines(CHART, time_axis(0), [Series("a", [])], str),
        lambda: columns(CHART, time_axis(3), [], str),
        lambda: bars(CHART, [], str),
        lambda: shares(CHART, [], str),
        lambda: histogram(CHART, [], [], str, str),
        lambda: timeline(CHART, [], str),
        lambda: projection(CHART, [], str),
    ],
)
def test_an_empty_chart_says_so(make: Callable[[], Markup]) -> None:
    root = held(make())
    assert root.find("svg") is None
    assert (root.find("p[@class='nothing']").text or "").endswith(".")  # type: ignore[union-attr]


def test_mistakes_of_pages_are_errors() -> None:
    with pytest.raises(ValueError, match="a chart's name"):
        area(Chart('x" onload="', "t"), time_axis(1), [Series("a", [1])], str)
    with pytest.raises(ValueError, match="links within"):
        bars(CHART, [Share("a", 1, "javascript:alert(1)")], str)
    with pytest.raises(ValueError, match="two side by side"):
        columns(CHART, time_axis(1), [Series("a", [1])] * 3, str)
    with pytest.raises(ValueError, match="have 3 bounds, not 2"):
        histogram(CHART, [1, 2], [1, 1], str, str)


def test_a_limit_that_is_nearly_spent_looks_so() -> None:
    assert 'class="limit near"' in limit_bar(80, 5, 100, "ann")
    assert 'class="limit spent"' in limit_bar(120, 0, 100, "ann")
    assert parsed(limit_bar(20, 5, 100, "ann: $1 left")).attrib["aria-label"] == "ann: $1 left"
    assert parsed(limit_bar(20, 5, 100, "")).attrib["aria-label"] == "20 % used"


def test_a_whole_sparkline() -> None:
    """The smallest chart as it is written, to the letter."""
    assert sparkline("Requests", [1, 3, 2], str) == (
        '<svg class="sparkline s1" viewBox="0 0 90 22" role="img" aria-label="Requests: from 1 to 3, last 2">'
        "<title>Requests: from 1 to 3, last 2</title>"
        '<path class="edge" d="M2.0 14.0L45.0 2.0L88.0 8.0"></path></svg>'
    )
