"""What a run has measured, and what it counted in the books."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, TypeAlias

Series: TypeAlias = dict[str, list[float]]  # by system, one value a round in the order of the rounds


@dataclass
class Count:
    """One load held against the books: answers of the upstream and rows of the ledger that it left."""

    load: str
    answered_by_upstream: int
    rows: int
    new_generations: int
    unsettled: int
    failed: int

    @property
    def agrees(self) -> bool:
        return self.answered_by_upstream == self.rows and not self.unsettled and not self.failed


@dataclass
class LedgerCount:
    """What the ledger on its own was asked to hold against its rows; faults names totals that differ from the rows."""

    load: str
    reserved: int
    rows: int
    unsettled: int
    faults: list[str]

    @property
    def agrees(self) -> bool:
        return self.reserved == self.rows and not self.unsettled and not self.faults


@dataclass
class OpenLoop:
    """Requests at one rate: delays in µs, and the proxy's CPU a request with what it does by itself meanwhile."""

    p50_us: Series = field(default_factory=dict)
    p99_us: Series = field(default_factory=dict)
    cpu_us: Series = field(default_factory=dict)


@dataclass
class Streams:
    """Streams of one kind: the proxy's CPU an event, and how late the middle one of its events arrives."""

    chunk_us: Series = field(default_factory=dict)
    delay_us: Series = field(default_factory=dict)


@dataclass
class Figures:
    """Measured values by system ("direct", "nginx", "aiohttp", "tollkeeper"), one a round in the order of the rounds.

    "limited" is tollkeeper asked by a user with five limits, "single" by one with one, "route" tollkeeper asked for a
    preset of two targets, "grown" tollkeeper on a ledger of plan.grown_rows, "disk" a bare write with fdatasync beside
    the ledger.
    """

    json_us: Series = field(default_factory=dict)  # CPU of the proxy a request
    json_per_s: Series = field(default_factory=dict)
    paced: Streams = field(default_factory=Streams)
    fast: Streams = field(default_factory=Streams)
    crowd: Streams = field(default_factory=Streams)
    alone: Streams = field(default_factory=Streams)
    open_loop: dict[int, OpenLoop] = field(default_factory=dict)  # by requests a second
    mixed_p50_us: Series = field(default_factory=dict)  # model and route in one load
    idle_rss_mb: Series = field(default_factory=dict)
    crowd_rss_mb: Series = field(default_factory=dict)  # the most while all streams run
    loaded_rss_mb: Series = field(default_factory=dict)
    idle_ms_per_s: Series = field(default_factory=dict)  # CPU without any request
    start_s: Series = field(default_factory=dict)
    start_cpu_s: Series = field(default_factory=dict)
    reserve_p50_us: Series = field(default_factory=dict)
    reserve_p99_us: Series = field(default_factory=dict)
    settle_p50_us: Series = field(default_factory=dict)
    settle_p99_us: Series = field(default_factory=dict)
    reserved_per_s: Series = field(default_factory=dict)
    instructions: dict[str, int] = field(default_factory=dict)  # of the event loop, by kind; empty without valgrind
    counts: list[Count] = field(default_factory=list)
    ledger_counts: list[LedgerCount] = field(default_factory=list)

    @property
    def agree(self) -> bool:
        return all(one.agrees for one in self.counts) and all(one.agrees for one in self.ledger_counts)

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "counts": [{**asdict(one), "agrees": one.agrees} for one in self.counts],
            "ledger_counts": [{**asdict(one), "agrees": one.agrees} for one in self.ledger_counts],
        }


def add(series: Series, name: str, value: float) -> None:
    series.setdefault(name, []).append(value)


def percentile(ordered: list[float], percent: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def paired(series: Series, name: str, other: str, of: Callable[[float, float], float]) -> float | None:
    """Return the median over the rounds of what two systems' figures of one round come to; None where one has none."""
    if not series.get(name) or not series.get(other):
        return None
    return median(of(ours, theirs) for ours, theirs in zip(series[name], series[other], strict=True))


def ratio(series: Series, name: str, over: str) -> float | None:
    return paired(series, name, over, lambda ours, theirs: ours / theirs)


def more(series: Series, name: str, than: str) -> float | None:
    return paired(series, name, than, lambda ours, theirs: ours - theirs)


def spread(values: list[float], digits: int) -> str:
    """Return the median, with the smallest and largest round behind it: 16.8 [15.7..17.9]."""
    if not values:
        return "-"
    middle = f"{median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} [{min(values):.{digits}f}..{max(values):.{digits}f}]"
