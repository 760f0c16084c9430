"""Bugs of the figures for Prometheus."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch

_SUMS = "tests/metrics/test_mixed_run.py::test_the_sums_are_those_of_the_ledger_and_of_the_provider"

MUTATIONS: Final = (
    Mutation(
        "a-cost-found-later-that-no-metric-has",
        "What is looked up after a client hung up never reaches the counters, and the graph shows less than the bill.",
        (Patch("Counters.settled", "counts.count_usage([end], are_new=not was_pending)"),),
        (_SUMS, "tests/metrics/test_bounds.py::test_a_cost_that_is_looked_up_counts_once_it_is_known"),
    ),
    Mutation(
        "an-estimate-counted-beside-the-cost",
        "A request whose cost is looked up is counted twice: as it ended, and as it was settled.",
        (Patch("pipeline.counters:_is_booked", "event.is_written and event.end.state != 'pending'", "True"),),
        ("tests/metrics/test_bounds.py::test_an_end_that_is_not_on_disk_costs_nothing_yet",),
    ),
    Mutation(
        "names-that-fill-memory",
        "Callers make up names of models, and each gets a series of its own.",
        (Patch("EndCounts._place_in", "len(usage) < self._names_max", "True"),),
        ("tests/metrics/test_bounds.py::test_a_flood_of_names_is_bounded_and_counted_whole",),
    ),
)
