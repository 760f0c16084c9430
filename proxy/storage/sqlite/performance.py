"""How models answered, read from the roll-up alone: by the day where days are summed."""

import sqlite3
from collections.abc import Iterator
from typing import Any

from proxy.core.glob import sql_glob
from proxy.storage.performance import AnswerSums, Histograms, ModelPerformance, PerformanceFilter
from proxy.storage.rows import HOUR_MS
from proxy.storage.sqlite.exact_sum import exact_sum, join_sums
from proxy.storage.sqlite.usage_daily import BY_MODEL, SummedHours

_SUMS = ("requests", "output_tokens", *AnswerSums._fields)
_DIGITS = 1 << 16  # that are read by one call, during which no other thread runs: a tenth of a millisecond
_IS_SUMMED = "counts >= x'ff'"  # their first byte: such counts cannot be joined by writing one behind the other
_QUERY = f"""
SELECT provider, model, {exact_sum("cost_pusd")},
    group_concat(CASE WHEN {_IS_SUMMED} THEN '' ELSE hex(counts) END, ''), sum({_IS_SUMMED}),
    {", ".join(f"sum({name})" for name in _SUMS)}
FROM {{0}} GROUP BY 1, 2
"""  # noqa: S608 - constants of this file
_SUMMED = f"SELECT provider, model, counts FROM {{0}} AND {_IS_SUMMED}"  # noqa: S608 - as above
_WHERE = """IN (SELECT value FROM json_each(:times))
    AND (:model IS NULL OR model GLOB :model OR provider || '/' || model GLOB :model)"""
_DAYS = f"usage_daily WHERE facet = {BY_MODEL.number} AND day_ms {_WHERE}"
_HOURS = f"usage_hourly WHERE hour_ms {_WHERE}"
_BOUNDS = """
SELECT max((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'performance_from_ms'),
    ifnull((SELECT min(hour_ms) FROM usage_hourly), 0)), (SELECT max(hour_ms) FROM usage_hourly)
"""


def read_performance(connection: sqlite3.Connection, wanted: PerformanceFilter) -> list[ModelPerformance]:
    """Return how each model answered in the hours of a period, by provider and model in order."""
    sums: dict[tuple[str, str], list[int]] = {}
    counts: dict[tuple[str, str], list[bytes]] = {}
    for source, values in _sources(connection, wanted):
        has_summed = 0
        for provider, model, high, low, short, summed, *figures in connection.execute(_QUERY.format(source), values):
            names = wanted.names(provider, model)
            total = sums.setdefault(names, [0] * (len(figures) + 1))
            for n, figure in enumerate((join_sums(high, low), *figures)):
                total[n] += figure
            digits = (short[at : at + _DIGITS] for at in range(0, len(short), _DIGITS))
            counts.setdefault(names, []).extend(map(bytes.fromhex, digits))
            has_summed += summed
        if has_summed:
            for provider, model, places in connection.execute(_SUMMED.format(source), values):
                counts[wanted.names(provider, model)].append(places)
    found = []
    for key, (cost_pusd, requests, output_tokens, *answers) in sorted(sums.items()):
        histograms = Histograms.of_counts(counts[key])
        found.append(ModelPerformance(*key, requests, output_tokens, cost_pusd, AnswerSums(*answers), histograms))
    return found


def _sources(connection: sqlite3.Connection, wanted: PerformanceFilter) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield where the roll-up of a period is read from, as SQL with values: days, and the hours that are in none."""
    start_ms, last_ms = connection.execute(_BOUNDS).fetchone()
    if last_ms is None:
        return
    end_ms = last_ms + HOUR_MS
    if wanted.since_ms is not None:
        start_ms = max(start_ms, wanted.since_ms - wanted.since_ms % HOUR_MS)
    if wanted.until_ms is not None:
        end_ms = min(end_ms, -(-wanted.until_ms // HOUR_MS) * HOUR_MS)
    parts = SummedHours(connection).parts(start_ms, end_ms)
    for source, times in ((_DAYS, parts.days), (_HOURS, parts.hours)):
        if times is not None:
            yield source, {"times": times, "model": None if wanted.model is None else sql_glob(wanted.model)}
