"""The bar of a limit: what is used, and what open requests have set aside behind it."""

from markupsafe import Markup

from proxy.web.dashboard.charts.element import element

_NEAR_PERCENT = 80


def limit_bar(used: int, reserved: int, amount: int, label: str = "") -> Markup:
    """Return the bar. used, reserved, amount: in the unit of the limit; label: what is read aloud in its place."""
    most = max(amount, 1)
    used_part = min(100 * used / most, 100)
    held_part = min(100 * reserved / most, 100 - used_part)
    look = "spent" if used >= amount else "near" if used * 100 >= amount * _NEAR_PERCENT else ""
    return element(
        "svg",
        element("rect", class_="limit-all", width="100", height="8", rx="1"),
        element("rect", class_="limit-used", width=f"{used_part:.2f}", height="8", rx="1"),
        element("rect", class_="limit-held", x=f"{used_part:.2f}", width=f"{held_part:.2f}", height="8"),
        class_=f"limit {look}".rstrip(),
        viewBox="0 0 100 8",
        preserveAspectRatio="none",
        role="img",
        aria_label=label or f"{100 * used / most:.0f} % used",
    )
