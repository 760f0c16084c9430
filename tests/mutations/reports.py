"""Bugs of what people read of their spending: sums that differ by the word they are made by."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch, TextPatch

_USAGE = "tests/storage/test_usage.py::test_"

MUTATIONS: Final = (
    Mutation(
        "removed-rows-not-in-the-sums",
        "By token or key only rows that still exist are summed: after retention the total is too small.",
        (Patch("storage.sqlite.usage:_add_hours", "any(rest)", "False"),),
        (f"{_USAGE}totals_are_the_same_by_any_word_also_after_rows_were_removed",),
    ),
    Mutation(
        "all-attempts-on-the-last-key",
        "What an earlier attempt with another key cost is shown as spent with the last one.",
        (TextPatch("_COST_OF_KEY", "ELSE ifnull(w.cost_pusd, 0) + CASE", "ELSE CASE"),),
        (f"{_USAGE}each_key_has_what_its_attempts_cost",),
    ),
    Mutation(
        "a-request-for-each-tag-in-all",
        "A request with two tags counts twice in the total.",
        (
            Patch(
                "sum_usage",
                "sums.total() if queries.is_repeated else SpendingRow.total(rows)",
                "SpendingRow.total(rows)",
            ),
        ),
        (f"{_USAGE}a_request_counts_under_each_of_its_tags_and_once_in_all",),
    ),
    Mutation(
        "flags-not-in-the-roll-up",
        "Requests whose figures are in doubt are not counted: reports look more exact than they are.",
        (Patch("_Rows._add_end", "self.flagged.append(end)", "pass"),),
        (f"{_USAGE}what_is_in_doubt_is_counted_where_it_is_booked",),
    ),
)
