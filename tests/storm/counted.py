"""What /metrics has counted since the start against the rows that ended since then: requests, and money by source."""

import re
from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from decimal import Decimal
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from .closed_books import read_all

_SAMPLE = re.compile(r"(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_PUSD_PER_USD = 10**12


def ended_rows(path: Path) -> frozenset[int]:
    """Return the rows whose cost is known for good."""
    sql = "SELECT id FROM requests WHERE state IN ('settled', 'released')"
    return frozenset(id_ for (id_,) in read_all(path, sql))


def pending_rows(path: Path) -> frozenset[int]:
    """Return the rows that wait for their cost alone."""
    return frozenset(id_ for (id_,) in read_all(path, "SELECT id FROM requests WHERE state = 'pending'"))


def request_differences(port: int, path: Path, ended: AbstractSet[int], pending: AbstractSet[int]) -> Iterator[str]:
    """Hold what is counted of requests against the rows that are not among those that an earlier run had ended.

    pending: those of which an earlier run had counted all but the cost.
    """
    told = _read(port)
    rows = read_all(path, "SELECT id, status, cost_source, cost_pusd FROM requests")
    mine = [row for row in rows if row[0] not in ended]
    fresh = [row for row in mine if row[0] not in pending]
    sources = Counter[str]()
    for _, _, source, pusd in mine:
        if source != "none":
            sources[source] += pusd or 0
    yield from _compared(told, "tollkeeper_booked_usd_total", "source", sources, _PUSD_PER_USD)
    whole = Counter({"": sum(pusd or 0 for *_, pusd in mine)})
    yield from _compared(told, "tollkeeper_cost_usd_total", "", whole, _PUSD_PER_USD)
    statuses = Counter(str(status) for _, status, *_ in fresh)
    yield from _compared(told, "tollkeeper_requests_total", "status", statuses, 1)
    yield from _compared(told, "tollkeeper_usage_requests_total", "", Counter({"": len(fresh)}), 1)


def adjustment_differences(port: int, path: Path, after_id: int) -> Iterator[str]:
    """Hold what is counted of late costs against the adjustments after one."""
    told = _read(port)
    amounts = [pusd for id_, pusd in read_all(path, "SELECT id, amount_pusd FROM adjustments") if id_ > after_id]
    ways = {"up": [pusd for pusd in amounts if pusd > 0], "down": [-pusd for pusd in amounts if pusd < 0]}
    numbers, sums = (Counter({way: f(pusd) for way, pusd in ways.items()}) for f in (len, sum))
    yield from _compared(told, "tollkeeper_adjustments_total", "direction", numbers, 1)
    yield from _compared(told, "tollkeeper_adjusted_usd_total", "direction", sums, _PUSD_PER_USD)


def _compared(
    told: list[tuple[str, dict[str, str], Decimal]], name: str, label: str, expected: Counter[str], unit: int
) -> Iterator[str]:
    """Compare a family, summed by one label, or in all."""
    found = Counter[str]()
    for family, labels, value in told:
        if family == name:
            found[labels.get(label, "")] += round(value * unit)
    if +found != +expected:
        yield f"/metrics: {name} by {label or 'nothing'} is {dict(+found)}, the rows come to {dict(+expected)}"


def _read(port: int) -> list[tuple[str, dict[str, str], Decimal]]:
    with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    samples = [_SAMPLE.match(line) for line in lines if not line.startswith("#")]
    return [
        (found["name"], dict(_LABEL.findall(found["labels"] or "")), Decimal(found["value"]))
        for found in samples
        if found is not None
    ]
