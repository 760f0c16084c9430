"""The tables of docs/reference/alerts.md, made from the rows of core/alert_kinds.py. Pure."""

import re

from proxy.core.alert_kinds import ALERT_KINDS, AlertKind
from proxy.core.stop_effect import EFFECTS
from proxy.policy.alerts.retry_schedule import RETRY_DELAYS_S

_TABLE = re.compile(r"(<!-- alerts: (kinds|schedule) -->\n).*?(<!-- end -->)", re.DOTALL)
_UNITS = {"percent": "{:g}%", "seconds": "{:g}s", "count": "{:g}", "usd": "${:g}"}


def alert_page(page: str) -> str:
    """Return the page with its tables as the rows are now."""
    tables = {"kinds": _kinds, "schedule": _schedule}
    return _TABLE.sub(lambda found: f"{found[1]}{tables[found[2]]()}\n{found[3]}", page)


def _kinds() -> str:
    lines = ["| `watch` | what is measured, and of what | `at` by default | also |", "|---|---|---|---|"]
    for kind in ALERT_KINDS:
        also = [f"`{option}`{_actions(kind) if option == 'action' else ''}" for option in kind.options]
        if kind.window_s is not None:
            also.insert(0, f"`window_s` ({kind.window_s}, at most {kind.window_max_s})")
        if not kind.recovered:
            also.append("its end is not told")
        measure = f"{kind.measure}. Of {kind.subject}, such as `{kind.example}`"
        lines.append(f"| `{kind.name}` | {measure} | {_at(kind)} | {', '.join(also)} |")
    return "\n".join(lines)


def _actions(kind: AlertKind) -> str:
    """Return of what acts on something else than its scope what that is, and what it may do if not all."""
    on = "" if kind.acts_on == "scope" else f" on the {kind.acts_on}"
    some = "" if kind.actions == EFFECTS else f": {', '.join(kind.actions)}"
    return f" ({on[1:]}{some})" if on or some else ""


def _at(kind: AlertKind) -> str:
    if kind.unit == "state":
        return "it holds or does not"
    if kind.unit == "bytes":
        texts = [f"{at // 10**9}GB" for at in kind.at]
    else:
        texts = [_UNITS[kind.unit].format(at) for at in kind.at]
    return f"{', '.join(f'`{text}`' for text in texts)}{' or less' if kind.is_below else ''}"


def _schedule() -> str:
    texts = [f"{s} s" if s < 60 else f"{s // 60} min" if s < 3600 else f"{s // 3600} h" for s in RETRY_DELAYS_S]
    return f"{len(RETRY_DELAYS_S) + 1} attempts: at once, then after {', '.join(texts)}."
