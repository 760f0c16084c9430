"""A sparkline: how one figure went, small enough to stand beside it."""

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from proxy.web.dashboard.charts.element import element
from proxy.web.dashboard.charts.scale import value_scale
from proxy.web.dashboard.charts.series import Number, Writer, amount, known

_WIDTH: Final = 90.0
_HEIGHT: Final = 22.0
_EDGE: Final = 2.0
_MOST: Final = 90


def sparkline(title: str, values: Sequence[Number | None], write: Writer) -> Markup:
    """Return a small line from the first value to the last, with its reach in words; what is unknown counts 0."""
    drawn = [amount(value) for value in values][-_MOST:]
    found = [value for value in (known(each) for each in values[-_MOST:]) if value is not None]
    scale = value_scale(drawn, _HEIGHT - _EDGE, _EDGE)
    step = (_WIDTH - 2 * _EDGE) / max(1, len(drawn) - 1)
    places = [(_EDGE + n * step, scale.at(value)) for n, value in enumerate(drawn)]
    if len(places) == 1:
        places.append((_WIDTH - _EDGE, places[0][1]))
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    words = (
        f"{title}: from {write(min(found))} to {write(max(found))}, last {write(found[-1])}"
        if found
        else f"{title}: nothing yet"
    )
    return element(
        "svg",
        element("title", words),
        element("path", class_="edge", d=f"M{line}") if line else None,
        class_="sparkline s1",
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        role="img",
        aria_label=words,
    )
