"""Limits as tables: what each says, what is used and left of it, when it starts anew."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from proxy.cli.moments import shown
from proxy.cli.table import Cell, print_table

HEADERS = ("limit", "used", "set aside", "left", "resets", "source")
_RIGHT = frozenset({"used", "set aside", "left"})
_WHOLE = frozenset({"resets", "source"})


def print_limits(limits: Sequence[Mapping[str, Any]], zone: ZoneInfo, *, whom: bool = False) -> None:
    """Print limits as the operator's API gives them; whom: with a first column that says whom each holds."""
    rows = [((whose(limit),) if whom else ()) + cells(limit, zone) for limit in limits]
    print_table((("whom", *HEADERS) if whom else HEADERS), rows, right=_RIGHT, whole=_WHOLE)


def cells(limit: Mapping[str, Any], zone: ZoneInfo) -> tuple[Cell, ...]:
    figures = [figure(limit, name) for name in ("used", "reserved", "remaining")]
    return (limit_text(limit), *figures, resets(limit, zone), limit["source"])


def limit_text(limit: Mapping[str, Any]) -> str:
    """Return a limit as it is typed: $5/day, requests=100/hour."""
    text = str(limit["limit"])
    return text if limit["kind"] == "cost" else f"{limit['kind']}={text}"


def figure(limit: Mapping[str, Any], name: str) -> Cell:
    """Return a figure for people: money in USD with all its digits."""
    usd = limit[f"{name}_usd"]
    count: int | None = limit[name]
    return f"${usd}" if usd is not None else count


def resets(limit: Mapping[str, Any], zone: ZoneInfo) -> str | None:
    return shown(moment_of(limit["resets_at"]), zone)


def whose(limit: Mapping[str, Any]) -> str:
    """Return whom a limit holds: all, each user, user bo."""
    what = str(limit["scope"]).replace("_", " ")
    return f"{what} {limit['name']}" if limit["name"] else what


def tightest_cells(limits: Sequence[Mapping[str, Any]], zone: ZoneInfo) -> tuple[Cell, ...]:
    """Return limit, used, left and resets of the limit of which the smallest share is left."""
    limit = tightest(limits)
    if limit is None:
        return (None,) * 4
    return (limit_text(limit), figure(limit, "used"), figure(limit, "remaining"), resets(limit, zone))


def tightest(limits: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the limit of which the smallest share is left; None where there is none."""

    def share(limit: Mapping[str, Any]) -> float:
        unit = "_pusd" if limit["amount"] is None else ""
        amount, left = limit[f"amount{unit}"], limit[f"remaining{unit}"]
        return left / amount if amount else 0.0

    return min(limits, key=share, default=None)


def moment_of(text: str | None) -> int | None:
    """Return a time of the operator's API in milliseconds since 1970."""
    return None if text is None else round(datetime.fromisoformat(text).timestamp() * 1000)
