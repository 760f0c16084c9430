"""The columns of tollkeeper usage: what each shows of a row, and which of them a table has."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import click
from msgspec import Struct, field

from proxy.cli.bars import bar, sparkline
from proxy.core.money import pusd_to_usd
from proxy.policy.exchange_rates import plain_text
from proxy.storage.spending import SpendingRow

Trends = Mapping[tuple[str, ...], Sequence[int]]


class UsageView(Struct, frozen=True):
    """What cells are shown beside: all rows together, the dearest of them, and what each cost over time."""

    total: SpendingRow
    most_pusd: int
    currency: str
    trends: Trends = field(default_factory=dict)


Shown = Callable[[SpendingRow, UsageView], str | int | None]


def padded(text: str) -> str:
    """Return an amount for reading: six decimals, so that points align, and more where needed."""
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction:0<6}"


def _usd(pusd: int | None) -> str | None:
    return None if pusd is None else padded(pusd_to_usd(pusd))


def _average(pusd: int | None) -> str | None:
    """Return an average, which is not exact anyway, to six decimals; one that would be nothing then to more."""
    if pusd is None:
        return None
    rounded = f"{Decimal(pusd).scaleb(-12):.6f}"
    return _usd(pusd) if pusd and not rounded.strip("0.") else rounded


def _percent(share: Decimal | None) -> str | None:
    return None if share is None else f"{share:.1%}"


def _trend(row: SpendingRow, view: UsageView) -> str:
    return sparkline(view.trends.get(row.key, ()))


COLUMNS: Final[dict[str, Shown]] = {
    "requests": lambda row, _: row.requests,
    "errors": lambda row, _: row.errors,
    "input_tokens": lambda row, _: row.input_tokens,
    "output_tokens": lambda row, _: row.output_tokens,
    "cost_usd": lambda row, _: _usd(row.cost_pusd),
    "cost_local": lambda row, _: None if row.cost_local is None else padded(plain_text(row.cost_local)),
    "share": lambda row, view: _percent(row.share_of(view.total)),
    "bar": lambda row, view: "" if row is view.total else bar(row.cost_pusd, view.most_pusd),
    "usd_per_request": lambda row, _: _average(row.each_pusd),
    "trend": _trend,
    "cached_share": lambda row, _: _percent(row.cached_share),
    "usd_per_1k_tokens": lambda row, _: _average(row.per_1k_tokens_pusd),
    "cached_tokens": lambda row, _: row.cached_tokens,
    "reasoning_tokens": lambda row, _: row.reasoning_tokens,
}
PICTURES: Final = frozenset({"bar", "trend"})
USUAL: Final = ("requests", "errors", "input_tokens", "output_tokens", "cost_usd")
# what a terminal shows, as far as it has room; the first come first
WANTED: Final = (
    *("cost_usd", "cost_local", "requests", "errors", "share", "bar", "input_tokens", "output_tokens"),
    *("usd_per_request", "trend", "cached_share", "usd_per_1k_tokens"),
)


def read_columns(text: str) -> tuple[str, ...]:
    """Return the columns of a list with commas; raises click.BadParameter."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or not names or len(set(names)) < len(names):
        raise click.BadParameter(f"write some of {', '.join(COLUMNS)}, each once.", param_hint="--columns")
    return names


def heading(name: str, currency: str) -> str:
    """Return what stands above a column."""
    return f"cost_{currency.lower()}" if name == "cost_local" else name
