"""A limit as a bar: what is used, what running requests have reserved, and what is left."""

from typing import Final

from markupsafe import Markup

from proxy.web.dashboard.charts.element import element
from proxy.web.dashboard.charts.series import Number, Writer, amount

_WIDTH: Final = 120.0
_HEIGHT: Final = 10.0
_NEARLY: Final = 0.8
_THIN: Final = 4.0


def limit_bar(name: str, used: Number, reserved: Number, limit: Number, write: Writer) -> Markup:
    """Return the bar of one limit. Reserved is thinner than used, so that the two differ without colours too.

    name: whose and which, as "ann, $5 a day"; a limit of 0 is full.
    """
    used, reserved, limit = max(0, amount(used)), max(0, amount(reserved)), max(0, amount(limit))
    used_share = _share(used, limit)
    taken = _share(used + reserved, limit)
    left = max(0, limit - used - reserved)
    words = f"{name}: {write(used)} used, {write(reserved)} reserved, {write(left)} of {write(limit)} left"
    if used > limit:
        words = f"{name}: {write(used)} used, {write(used - limit)} more than the limit of {write(limit)}"
    return element(
        "svg",
        element("title", words),
        element("rect", class_="limit-all", x=0, y=0, width=_WIDTH, height=_HEIGHT),
        element("rect", class_="limit-used", x=0, y=0, width=used_share * _WIDTH, height=_HEIGHT),
        element(
            "rect",
            class_="limit-held",
            x=used_share * _WIDTH,
            y=(_HEIGHT - _THIN) / 2,
            width=(taken - used_share) * _WIDTH,
            height=_THIN,
        ),
        class_=_look(used + reserved, limit),
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        preserveAspectRatio="none",
        role="img",
        aria_label=words,
    )


def _share(value: Number, limit: Number) -> float:
    return min(1.0, value / limit) if limit > 0 else 1.0


def _look(taken: Number, limit: Number) -> str:
    """Return the classes by which static/dashboard.css colours it, as the bars of tables."""
    if taken >= limit:
        return "limit spent"
    return "limit near" if taken / limit >= _NEARLY else "limit"
