"""The attempts of one request on a time line: waiting, until the first token, streaming."""

from collections.abc import Sequence
from enum import StrEnum
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
from proxy.web.dashboard.charts.label import isolated, label
from proxy.web.dashboard.charts.scale import Scale, value_scale
from proxy.web.dashboard.charts.series import Number, Writer, amount

_WIDTH: Final = 600.0
_ROW: Final = 46.0
_BAR: Final = 14.0
_WORDS: Final = 26.0
_NAME_CHARS: Final = 44
_THIN: Final = 6.0


class Phase(StrEnum):
    """What passes during a part of an attempt."""

    WAITING = "waiting"
    OPENING = "until the first token"
    STREAMING = "streaming"


# Each phase has a colour and a height of its own, so that they differ without colours too.
_LOOKS: Final = {Phase.WAITING: ("s-other", _THIN), Phase.OPENING: ("s3", 10.0), Phase.STREAMING: ("s1", _BAR)}


class PhaseSpan(Struct, frozen=True):
    """A phase of an attempt, in milliseconds since the request arrived."""

    phase: Phase
    start_ms: Number
    end_ms: Number


class TimelineRow(Struct, frozen=True):
    """An attempt: what was asked, how it ended, and what passed in it."""

    name: str
    outcome: str
    spans: Sequence[PhaseSpan]
    is_failed: bool = False


def timeline(chart: Chart, rows: Sequence[TimelineRow], write_ms: Writer) -> Markup:
    """Return the attempts below one another over the time since the request arrived."""
    if not rows:
        return empty_figure(chart, "timeline", "No attempt was made.")
    canvas = Canvas(_WIDTH, len(rows) * _ROW + _WORDS, left=6, right=26, top=0, bottom=_WORDS)
    ends = [amount(span.end_ms) for row in rows for span in row.spans]
    scale = value_scale([max(0, end) for end in ends], canvas.left, canvas.end, most=6)
    svg = drawing(
        chart,
        canvas,
        _description(rows, ends, write_ms),
        _grid(scale, canvas, write_ms),
        *(_row(n, row, scale, canvas, write_ms) for n, row in enumerate(rows)),
    )
    used = [phase for phase in Phase if any(span.phase is phase for row in rows for span in row.spans)]
    legend = legend_list([
        LegendEntry(f"{_LOOKS[phase][0]} {_class(phase)}", phase, write_ms(_in_phase(rows, phase))) for phase in used
    ])  # fmt: skip
    return figure(chart, "timeline", svg, _table(rows, write_ms), legend if used else None)


def _row(n: int, row: TimelineRow, scale: Scale, canvas: Canvas, write_ms: Writer) -> Markup:
    middle = n * _ROW + _ROW - _BAR
    drawn = []
    for span in row.spans:
        colour, height = _LOOKS[span.phase]
        start, end = scale.at(amount(span.start_ms)), scale.at(amount(span.end_ms))
        drawn.append(
            element(
                "rect",
                class_=f"phase {colour} {_class(span.phase)}",
                x=min(start, end),
                y=middle - height / 2,
                width=abs(end - start),
                height=height,
            )
        )
    words = element(
        "text",
        f"{n + 1}. {isolated(label(row.name, _NAME_CHARS))}: {isolated(label(row.outcome))}",
        class_="row failed" if row.is_failed else "row",
        x=canvas.left,
        y=n * _ROW + 16,
    )
    told = [f"{n + 1}. {isolated(label(row.name))}: {isolated(label(row.outcome))}"]
    told += [f"{span.phase} {write_ms(amount(span.end_ms) - amount(span.start_ms))}" for span in row.spans]
    return point(told, Box(0, n * _ROW, canvas.width, _ROW), canvas, words, *drawn)


def _grid(scale: Scale, canvas: Canvas, write_ms: Writer) -> Markup:
    parts = []
    for n, tick in enumerate(scale.ticks):
        x = scale.at(tick)
        parts += [
            element("path", class_="grid", d=f"M{x:.1f} 0V{canvas.floor:.1f}"),
            element(
                "text",
                write_ms(tick),
                class_="tick roomy" if n % 2 else "tick",
                x=x,
                y=canvas.height - 6,
                text_anchor="start" if n == 0 else "middle",
            ),
        ]
    return element("g", *parts, class_="axis", aria_hidden="true")


def _class(phase: Phase) -> str:
    return f"phase-{phase.name.lower().replace('_', '-')}"


def _in_phase(rows: Sequence[TimelineRow], phase: Phase) -> Number:
    return sum(amount(span.end_ms) - amount(span.start_ms) for row in rows for span in row.spans if span.phase is phase)


def _description(rows: Sequence[TimelineRow], ends: Sequence[Number], write_ms: Writer) -> str:
    attempts = "1 attempt" if len(rows) == 1 else f"{len(rows)} attempts"
    return f"{attempts} in {write_ms(max([*ends, 0]))}; the last: {label(rows[-1].outcome)}."


def _table(rows: Sequence[TimelineRow], write_ms: Writer) -> ValueTable:
    texts = []
    for n, row in enumerate(rows):
        spent = [
            sum(amount(span.end_ms) - amount(span.start_ms) for span in row.spans if span.phase is phase)
            for phase in Phase
        ]
        texts.append([f"{n + 1}. {label(row.name)}", label(row.outcome), *(write_ms(each) for each in spent)])
    return ValueTable(["Attempt", "Outcome", *(phase.capitalize() for phase in Phase)], texts)
