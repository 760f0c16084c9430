"""What limits stand at, the fullest first."""

from collections.abc import Callable, Iterator, Sequence

from proxy.core.money import PUSD_PER_USD
from proxy.policy.quota import LimitRow
from proxy.web.metrics.family import Family, Labels, figure, gauge

_COST = "cost"
_MONEY = ("scope", "window", "mode", "models")
_ALL = ("scope", "kind", "window", "mode", "models")


def limit_families(rows: Sequence[LimitRow], limits_max: int, now_ms: int) -> Iterator[Family]:
    """Yield the families of at most limits_max limits; how many are left out is a figure of its own."""
    shown = sorted(rows, key=lambda row: (-_used_ratio(row), row.scope, row.kind, row.window))[:limits_max]
    cost = [row for row in shown if row.kind == _COST]
    others = [row for row in shown if row.kind != _COST]
    yield _of(cost, "tollkeeper_limit_usd", "What a limit on cost allows, in USD.", lambda row: _usd(row.limit))
    yield _of(
        cost,
        "tollkeeper_limit_remaining_usd",
        "What is left of it, without what is set aside, in USD.",
        lambda row: _usd(row.remaining),
    )
    yield _of(others, "tollkeeper_limit", "What a limit that counts allows.", lambda row: row.limit)
    yield _of(
        others,
        "tollkeeper_limit_remaining",
        "What is left of it, without what is set aside.",
        lambda row: row.remaining,
    )
    yield _of(
        shown,
        "tollkeeper_limit_used_ratio",
        "How much of a limit is used or set aside, 1 for all.",
        _used_ratio,
        labels=_ALL,
    )
    yield _of(
        [row for row in shown if row.resets_at_ms is not None],
        "tollkeeper_limit_reset_seconds",
        "How long until something of it is free again.",
        lambda row: max(0, (row.resets_at_ms or 0) - now_ms) / 1000,
        labels=_ALL,
    )
    yield figure("tollkeeper_limits_left_out", "Limits beyond metrics.labels_max.", len(rows) - len(shown))


def _of(
    rows: Sequence[LimitRow],
    name: str,
    text: str,
    value: Callable[[LimitRow], float],
    *,
    labels: Labels | None = None,
) -> Family:
    labels = labels or (_MONEY if name.endswith("_usd") else _ALL)
    found: dict[tuple[str, ...], float] = {}
    for row in rows:  # of two in one place, as two presets of a use case may have, the fuller one
        found.setdefault(tuple(_label(row, label) for label in labels), value(row))
    return gauge(name, text, labels, found)


def _label(row: LimitRow, label: str) -> str:
    return ",".join(row.models) if label == "models" else str(getattr(row, label))


def _usd(pusd: int) -> float:
    return pusd / PUSD_PER_USD


def _used_ratio(row: LimitRow) -> float:
    return 1.0 if row.limit <= 0 else (row.used + row.reserved) / row.limit
