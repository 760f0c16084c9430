"""How models answered, read from the roll-up alone."""

import sqlite3

from proxy.storage.performance import AnswerSums, Histograms, ModelPerformance, PerformanceFilter
from proxy.storage.rows import HOUR_MS

_SUMS = ("requests", "output_tokens", *AnswerSums._fields)
_QUERY = f"""
SELECT provider, model, cost_pusd, counts, {", ".join(_SUMS)} FROM usage_hourly
WHERE hour_ms >= max(:since_ms, (SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'performance_from_ms'))
    AND hour_ms < :until_ms
    AND (:model IS NULL OR model GLOB :model OR provider || '/' || model GLOB :model)
"""  # noqa: S608 - constants of this file
_FOREVER_MS = 1 << 62


def read_performance(connection: sqlite3.Connection, wanted: PerformanceFilter) -> list[ModelPerformance]:
    """Return how each model answered in the hours of a period, by provider and model in order."""
    values = {
        "since_ms": 0 if wanted.since_ms is None else wanted.since_ms - wanted.since_ms % HOUR_MS,
        "until_ms": _FOREVER_MS if wanted.until_ms is None else wanted.until_ms,
        "model": wanted.model,
    }
    sums: dict[tuple[str, str], list[int]] = {}
    counts: dict[tuple[str, str], list[bytes]] = {}
    for provider, model, cost_pusd, places, *figures in connection.execute(_QUERY, values):
        total = sums.setdefault((provider, model), [0] * (len(figures) + 1))
        for n, figure in enumerate((cost_pusd, *figures)):
            total[n] += figure
        counts.setdefault((provider, model), []).append(places)
    found = []
    for key, (cost_pusd, requests, output_tokens, *answers) in sorted(sums.items()):
        histograms = Histograms.of_counts(counts[key])
        found.append(ModelPerformance(*key, requests, output_tokens, cost_pusd, AnswerSums(*answers), histograms))
    return found
