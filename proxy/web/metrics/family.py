"""A family of metrics: plain figures by the values of labels."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from proxy.pipeline.durations import Durations

Labels = tuple[str, ...]
Kind = Literal["counter", "gauge", "histogram", "info"]
Sample = tuple[str, str, tuple[Any, ...], float]
"""What follows the name of the family, the bound of a bucket ("" for none), the values of the labels, the figure."""


class Family(NamedTuple):
    """One family; name is that of a counter without _total, and of an info without _info. values follow labels."""

    kind: Kind
    name: str
    text: str
    labels: Labels
    values: Mapping[tuple[Any, ...], float]

    def samples(self) -> Iterator[Sample]:
        """Yield its samples in order."""
        suffix = {"counter": "_total", "info": "_info"}.get(self.kind, "")
        for of, value in self.values.items():
            yield suffix, "", of, value


class HistogramFamily(NamedTuple):
    """A histogram of seconds. units: how many of those that the durations are in make a second."""

    name: str
    text: str
    labels: Labels
    bounds_s: Sequence[float]
    units: float
    values: Mapping[tuple[Any, ...], Durations]

    @property
    def kind(self) -> Kind:
        return "histogram"

    def samples(self) -> Iterator[Sample]:
        """Yield of each its buckets, each with all that are below it, how many there are, and their sum."""
        bounds = (*map(repr, self.bounds_s), "+Inf")
        for of, durations in self.values.items():
            within = 0
            for bound, count in zip(bounds, durations.buckets, strict=True):
                within += count
                yield "_bucket", bound, of, within
            yield "_count", "", of, within
            yield "_sum", "", of, durations.total / self.units


AnyFamily = Family | HistogramFamily


def counter(name: str, text: str, labels: Labels, values: Mapping[Any, float]) -> Family:
    return Family("counter", name, text, labels, values)


def gauge(name: str, text: str, labels: Labels, values: Mapping[Any, float]) -> Family:
    return Family("gauge", name, text, labels, values)


def figure(name: str, text: str, value: float) -> Family:
    """Return a gauge without labels."""
    return Family("gauge", name, text, (), {(): value})
