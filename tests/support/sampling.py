"""How much of the slow families a run takes: all of it, or a sample that a seed draws.

`TOLLKEEPER_SAMPLE` holds the seed, as `7`, or the seed and how many times the families' own shares are taken, as `7*3`.
Without it everything runs: that is `scripts/test --full`, and what pytest does by itself.

A test of many cases carries `@pytest.mark.sampled(share)`; those that are each one long search are a family together,
`@pytest.mark.sampled(share, "long")`. A loop within a test asks `drawn()` for its cases or `count()` for their number,
and one that draws by itself `seed()` for its seed.
"""

import math
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Final, TypeVar

import pytest

VARIABLE: Final = "TOLLKEEPER_SAMPLE"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sample:
    """A seed, and how many times the shares that the families name are taken."""

    seed: int
    times: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.times < math.inf):
            raise ValueError(f"{VARIABLE}: the shares cannot be taken {self.times:g} times")

    def count(self, whole: int, share: float) -> int:
        """Return how many of so many cases run: the share of them, rounded up, so that one runs at least."""
        return min(whole, math.ceil(whole * share * self.times))

    def drawn(self, cases: Iterable[T], share: float, name: str) -> list[T]:
        """Return the share of some cases, in their order; the same for the same seed, name and number of cases."""
        found = list(cases)
        kept = Random(f"{self.seed} {name}").sample(range(len(found)), self.count(len(found), share))
        return [found[n] for n in sorted(kept)]


def read(text: str | None) -> Sample | None:
    """Read what the variable says; None and nothing stand for everything. Raises ValueError for what is no number."""
    if not text:
        return None
    seed, star, times = text.partition("*")
    return Sample(int(seed), float(times) if star else 1.0)


SAMPLE: Final = read(os.environ.get(VARIABLE))


def count(whole: int, share: float) -> int:
    """Return how many of so many cases this run takes: all, or the share of them in a sampled run."""
    return whole if SAMPLE is None else SAMPLE.count(whole, share)


def seed(usual: int) -> int:
    """Return the seed of what a test draws by itself: that of a sampled run, else the usual one."""
    return usual if SAMPLE is None else SAMPLE.seed


def drawn(cases: Iterable[T], share: float, name: str) -> list[T]:
    """Return the cases that this run takes: all, or the share of them in a sampled run. name: of the family."""
    return list(cases) if SAMPLE is None else SAMPLE.drawn(cases, share, name)


@pytest.hookimpl(trylast=True)  # of what -k and -m leave, so that a single case can always be run
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the cases of the sampled families out that this run does not take."""
    families: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    shares: dict[str, float] = {}
    for item in items:
        mark = item.get_closest_marker("sampled")
        if mark is not None:
            share, family = _read_mark(*mark.args, **mark.kwargs)
            name = family or item.nodeid.partition("[")[0]
            families[name].append(item)
            shares[name] = share
    left: set[pytest.Item] = set()
    for name, found in families.items():
        left |= set(found) - set(drawn(found, shares[name], name))
    if left:
        config.hook.pytest_deselected(items=[item for item in items if item in left])
        items[:] = [item for item in items if item not in left]


def _read_mark(share: float, family: str = "") -> tuple[float, str]:
    if not 0 < share <= 1:
        raise ValueError(f"a share is above 0 and at most 1, not {share:g}")
    return share, family
