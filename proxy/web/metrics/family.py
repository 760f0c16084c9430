"""Families of metrics from plain figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from proxy.pipeline.durations import Durations

Labels = Sequence[str]
Values = Mapping[tuple[Any, ...], float]
"""Figures by the values of the labels, in their order."""


def counter(name: str, text: str, labels: Labels, values: Values) -> Metric:
    """Return a counter; its samples end in _total."""
    family = CounterMetricFamily(name, text, labels=tuple(labels))
    for of, value in values.items():
        family.add_metric(tuple(map(str, of)), float(value))
    return family


def gauge(name: str, text: str, labels: Labels, values: Values) -> Metric:
    family = GaugeMetricFamily(name, text, labels=tuple(labels))
    for of, value in values.items():
        family.add_metric(tuple(map(str, of)), float(value))
    return family


def figure(name: str, text: str, value: float) -> Metric:
    """Return a gauge without labels."""
    return GaugeMetricFamily(name, text, value=float(value))


def histogram(
    name: str,
    text: str,
    labels: Labels,
    bounds_s: Sequence[float],
    values: Mapping[tuple[str, ...], tuple[Durations, float]],
) -> Metric:
    """Return a histogram of seconds. values: the durations, and how many of their units are a second."""
    family = HistogramMetricFamily(name, text, labels=tuple(labels))
    for of, (durations, units) in values.items():
        family.add_metric(of, _cumulative(bounds_s, durations), durations.total / units)
    return family


def _cumulative(bounds_s: Sequence[float], durations: Durations) -> list[tuple[str, float]]:
    """Return each bound as text with how many were at most that long, as Prometheus wants them."""
    total, found = 0, []
    for bound, count in zip((*map(str, bounds_s), "+Inf"), durations.buckets, strict=True):
        total += count
        found.append((bound, float(total)))
    return found
