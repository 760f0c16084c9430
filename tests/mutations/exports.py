"""Bugs of what leaves the ledger as a file: sums that are not the ledger's, and money that changes afterwards."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch, TextPatch

_FORMATS = "tests/storage/test_export_formats.py::test_"
_EXPORT = "tests/storage/test_export.py::test_"

MUTATIONS: Final = (
    Mutation(
        "a-new-rate-for-the-past",
        "A rate that changes today changes what last month's reports said.",
        (Patch("join_steps", "step.from_ms < begin_ms", "False"),),
        ("tests/policy/test_exchange_rates.py::test_the_past_stays_and_the_future_is_as_wanted",),
    ),
    Mutation(
        "booked-hours-get-another-rate",
        "After a clock was set back, a new rate counts for hours that have figures already.",
        (Patch("note_rates", "max(now_ms, booked_ms)", "now_ms"),),
        ("tests/storage/test_ledger.py::test_no_hour_with_figures_gets_another_rate",),
    ),
    Mutation(
        "charges-without-removed-rows",
        "A FOCUS file has only what rows are kept of: finance misses what retention has removed.",
        (Patch("storage.sqlite.focus:_day", "yield from _beyond_rows(...)", "pass"),),
        (f"{_FORMATS}charges_come_to_what_the_ledger_holds",),
    ),
    Mutation(
        "corrections-charged-twice",
        "What became known late stands in a correction, and in its day's charge too.",
        (Patch("storage.sqlite.focus:_day", "join_sums(high, low)", "0"),),
        (f"{_FORMATS}charges_come_to_what_the_ledger_holds",),
    ),
    Mutation(
        "a-line-of-csv-without-quotes",
        "A name with a comma in it moves all cells after it, the cost among them.",
        (Patch("storage.sqlite.csv_lines:_is_plain", 'data.count(b",") == expected.commas', "True"),),
        (f"{_EXPORT}both_ways_to_csv_are_the_same_to_the_byte",),
    ),
    Mutation(
        "a-slice-at-the-cost-of-its-first-row",
        "A cost that all rows of a slice had is written for a row that has another.",
        (Patch("storage.sqlite.usual_cells:UsualCells.mark", "not self._values", "True"),),
        ("tests/storage/test_usual_cells.py::test_one_value_in_the_midst_of_a_slice",),
    ),
    Mutation(
        "whole-dollars-lose-their-zeros",
        "Ten dollars are exported as one.",
        (TextPatch("storage.sqlite.csv_lines:_usd_text", " > 0 THEN ", " >= 0 THEN "),),
        (f"{_EXPORT}both_ways_to_csv_are_the_same_to_the_byte",),
    ),
    Mutation(
        "the-last-rows-of-parquet",
        "Rows that do not fill a group are left out of the file.",
        (Patch("storage.parquet:_chunks", "if rows:\n    writer.write_table(_table(pa, schema, rows))", "pass"),),
        (f"{_FORMATS}rows_come_to_the_same_sum",),
    ),
)
