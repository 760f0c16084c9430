"""The classes by which static/charts.css colours and dashes series: a colour is never written into a chart."""

from typing import Final

COLOURS: Final = 8
OTHER_CLASS: Final = "s-other"


def series_class(place: int, is_other: bool = False) -> str:
    """Return the class of the series at a place, from 0: its colour and its dash."""
    return OTHER_CLASS if is_other else f"s{place % COLOURS + 1}"


def mark(place: int) -> str:
    """Return what names the series at a place, from 0, in the chart and in its legend, for who sees no colours."""
    return str(place + 1)
