"""How models answered, read from the roll-up alone: by the day where days are summed."""

import sqlite3
from collections.abc import Iterator
from typing import Any

from proxy.storage.performance import AnswerSums, Histograms, ModelPerformance, PerformanceFilter
from proxy.storage.rows import HOUR_MS
from proxy.storage.sqlite.usage_daily import BY_MODEL, SummedHours

_SUMS = ("requests", "output_tokens", *AnswerSums._fields)
_QUERY = """
SELECT provider, model, cost_pusd, counts, {} FROM {} IN (SELECT value FROM json_each(:times))
    AND (:model IS NULL OR model GLOB :model OR provider || '/' || model GLOB :model)
"""
_DAYS = _QUERY.format(", ".join(_SUMS), f"usage_daily WHERE facet = {BY_MODEL.number} AND day_ms")
_HOURS = _QUERY.format(", ".join(_SUMS), "usage_hourly WHERE hour_ms")
_BOUNDS = """
SELECT max((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'performance_from_ms'),
    ifnull((SELECT min(hour_ms) FROM usage_hourly), 0)), (SELECT max(hour_ms) FROM usage_hourly)
"""


def read_performance(connection: sqlite3.Connection, wanted: PerformanceFilter) -> list[ModelPerformance]:
    """Return how each model answered in the hours of a period, by provider and model in order."""
    sums: dict[tuple[str, str], list[int]] = {}
    counts: dict[tuple[str, str], list[bytes]] = {}
    for provider, model, cost_pusd, places, *figures in _read(connection, wanted):
        names = wanted.names(provider, model)
        total = sums.setdefault(names, [0] * (len(figures) + 1))
        for n, figure in enumerate((cost_pusd, *figures)):
            total[n] += figure
        counts.setdefault(names, []).append(places)
    found = []
    for key, (cost_pusd, requests, output_tokens, *answers) in sorted(sums.items()):
        histograms = Histograms.of_counts(counts[key])
        found.append(ModelPerformance(*key, requests, output_tokens, cost_pusd, AnswerSums(*answers), histograms))
    return found


def _read(connection: sqlite3.Connection, wanted: PerformanceFilter) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the roll-up of a period: of days, and of the hours that are in none."""
    start_ms, last_ms = connection.execute(_BOUNDS).fetchone()
    if last_ms is None:
        return
    end_ms = last_ms + HOUR_MS
    if wanted.since_ms is not None:
        start_ms = max(start_ms, wanted.since_ms - wanted.since_ms % HOUR_MS)
    if wanted.until_ms is not None:
        end_ms = min(end_ms, -(-wanted.until_ms // HOUR_MS) * HOUR_MS)
    parts = SummedHours(connection).parts(start_ms, end_ms)
    for query, times in ((_DAYS, parts.days), (_HOURS, parts.hours)):
        if times is not None:
            yield from connection.execute(query, {"times": times, "model": wanted.model})
