"""The limits of a storm, and what rows come to under them, by sums over all rows and by what a wall clock shows. Pure.

None of it shares code with the quotas of the proxy: it is the second opinion on them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from proxy.core.money import pusd_to_usd

Kind = Literal["cost", "requests", "tokens"]
Row = Mapping[str, Any]  # of the table `requests`

WIDE = "96h"
ZONE = "Europe/Stockholm"  # where the days of a storm begin
GROUPS = {"bo": "crew", "dora": "crew", "eve": "pinch", "finn": "pinch"}
_MINUTE_MS, _HOUR_MS = 60_000, 3_600_000
_PUSD_PER_USD = 10**12


@dataclass(frozen=True, slots=True)
class Limit:
    """A hard limit. scope: ``user:NAME``, ``group:NAME`` or ``all``. amount: pico-USD, requests or tokens."""

    scope: str
    kind: Kind
    window: str
    amount: int

    def text(self) -> str:
        """Give the short form of the configuration."""
        return f"{f'${pusd_to_usd(self.amount)}' if self.kind == 'cost' else self.amount}/{self.window}"

    def __str__(self) -> str:
        return f"{self.scope} {self.kind} {self.window}"

    def holds_for(self, user: str, group: str | None) -> bool:
        return self.scope in ("all", f"user:{user}", f"group:{group}")


def some_limited(requests: int) -> tuple[Limit, ...]:
    """Draw limits tight for three of seven users, and a number of requests for everyone that ends before the storm."""
    pusd = _each_pusd(requests)
    each = max(1, requests // 7)
    return (
        Limit("user:eve", "cost", "total", pusd * 35 // 100),
        Limit("user:finn", "tokens", "3h", 150 * each),
        Limit("user:gina", "cost", "minute", pusd * 25 // 100),
        Limit("user:gina", "requests", "hour", max(1, each * 6 // 10)),
        Limit("group:pinch", "cost", "day", pusd * 60 // 100),
        Limit("all", "requests", "total", requests * 72 // 100),
        *wide_limits(),
    )


def all_limited(requests: int) -> tuple[Limit, ...]:
    """Limit the money of everyone: that of single users ends, that of all comes again each minute."""
    pusd = _each_pusd(requests)
    each = max(1, requests // 7)
    return (
        Limit("user:anna", "requests", "2h", each * 8 // 10),
        Limit("user:eve", "cost", "total", pusd * 35 // 100),
        Limit("user:finn", "tokens", "day", 150 * each),
        Limit("user:gina", "cost", "minute", 20 * _PUSD_PER_USD),
        Limit("group:pinch", "cost", "week", pusd * 60 // 100),
        Limit("group:crew", "cost", "hour", pusd * 150 // 100),
        Limit("all", "cost", "minute", 250 * _PUSD_PER_USD),
        Limit("all", "cost", "2h", 5 * pusd),
        *wide_limits(),
    )


def wide_limits() -> tuple[Limit, ...]:
    """Give limits that nobody reaches, and that still count the storm when its day is over."""
    scopes = ("user:anna", "user:bo", "user:finn", "group:crew", "group:pinch")
    return tuple(Limit(scope, "cost", WIDE, 10**6 * _PUSD_PER_USD) for scope in scopes)


def _each_pusd(requests: int) -> int:
    """Give what a seventh of the requests of a storm is booked at where nothing is limited: 0.09 USD a request."""
    return requests * 13 * _PUSD_PER_USD // 1000


def configured(limits: Iterable[Limit], scope: str) -> dict[str, list[str]]:
    """Give the limits of one scope as they stand in the configuration."""
    found: dict[str, list[str]] = defaultdict(list)
    for limit in limits:
        if limit.scope == scope:
            found[limit.kind].append(limit.text())
    return dict(found)


# --- what counts


def counted(row: Row, kind: Kind) -> int:
    """Give what a row that has ended counts as."""
    if kind == "requests":
        return 1
    if kind == "cost":
        return int(row["cost_pusd"] or 0)
    tokens = int(row["input_tokens"] or 0) + int(row["output_tokens"] or 0)
    nobody_counted = row["input_tokens"] is None and row["output_tokens"] is None
    if row["uncounted_tokens"] is not None:  # of several attempts, those that nobody counted
        tokens += int(row["uncounted_tokens"])
    elif nobody_counted and row["state"] == "settled":
        tokens = int(row["reserved_tokens"] or 0)
    return tokens


def held(row: Row, kind: Kind) -> int:
    """Give what a row that is still open has set aside."""
    return int({"requests": 1, "cost": row["reserved_pusd"], "tokens": row["reserved_tokens"]}[kind] or 0)


# --- windows


def start_ms(window: str, at_ms: int) -> int:
    """Give where the window of an instant begins."""
    if window == "total":
        return 0
    if window == "minute":
        return at_ms - at_ms % _MINUTE_MS
    if window[-1] == "h" and window[:-1].isdecimal():
        return at_ms - at_ms % _HOUR_MS - int(window[:-1]) * _HOUR_MS
    local = _local(at_ms).replace(minute=0, second=0, microsecond=0)
    if window != "hour":
        local = local.replace(hour=0)
    if window == "week":
        local -= timedelta(days=local.weekday())
    if window == "month":
        local = local.replace(day=1)
    return round(local.timestamp() * 1000)


def _local(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(ZoneInfo(ZONE))


def _windows(window: str, rows: Sequence[Row]) -> list[list[Row]]:
    """Give the rows of each window that has any; a rolling one is looked at at the end of each hour."""
    if window[-1] == "h" and window[:-1].isdecimal():
        ends = {row["started_ms"] // _HOUR_MS for row in rows}
        hours = int(window[:-1])
        return [[row for row in rows if end - hours <= row["started_ms"] // _HOUR_MS <= end] for end in ends]
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[start_ms(window, row["started_ms"])].append(row)
    return list(found.values())


# --- did they hold


class Filled(NamedTuple):
    """The fullest window of a limit: booked by the ledger, charged by the books (cost only), of so many windows.

    explained: by how much rows of that window came to more than their own bound.
    """

    limit: Limit
    booked: int
    charged: int
    explained: int
    windows: int


def fullest(limits: Iterable[Limit], rows: Sequence[Row], charged: Mapping[str, int]) -> list[Filled]:
    """Give how full each limit became. charged: by session, pico-USD."""
    found = []
    for limit in limits:
        windows = _windows(limit.window, _of(limit, rows))
        inside = max(windows, key=lambda inside: _booked(limit, inside), default=[])
        explained = sum(_explained(limit, row) for row in inside)
        bills = _charged(limit, inside, charged)
        found.append(Filled(limit, _booked(limit, inside), bills, explained, len(windows)))
    return found


def passed(limits: Iterable[Limit], rows: Sequence[Row], charged: Mapping[str, int]) -> Iterator[str]:
    """Say which windows hold more than their limit, beyond what rows explain that came to more than their bound."""
    for limit in limits:
        for inside in _windows(limit.window, _of(limit, rows)):
            at_most = limit.amount + sum(_explained(limit, row) for row in inside)
            for what, amount in (
                ("booked", _booked(limit, inside)),
                ("charged", _charged(limit, inside, charged)),
            ):
                if amount > at_most:
                    yield f"{limit}: limit {limit.amount}, {amount} {what}, {amount - at_most} of it without a reason"


def _of(limit: Limit, rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if limit.holds_for(row["user"], row["group_name"])]


def _booked(limit: Limit, rows: Iterable[Row]) -> int:
    return sum(counted(row, limit.kind) for row in rows)


def _charged(limit: Limit, rows: Iterable[Row], charged: Mapping[str, int]) -> int:
    return sum(charged.get(str(row["session_id"]), 0) for row in rows) if limit.kind == "cost" else 0


def _explained(limit: Limit, row: Row) -> int:
    """Give by how much a row passed its own bound: with a flag where it is money, by the provider's count of tokens."""
    if limit.kind == "requests":
        return 0
    if limit.kind == "cost" and "over_reservation" not in (row["flags"] or "").split():
        return 0
    return max(0, counted(row, limit.kind) - held(row, limit.kind))
