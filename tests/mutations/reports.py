"""Bugs of what people read of their spending: sums that differ by the word they are made by."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch, TextPatch

_USAGE = "tests/storage/test_usage.py::test_"
_FIGURES = "tests/web/test_admin_figures.py::test_"

MUTATIONS: Final = (
    Mutation(
        "removed-rows-not-in-the-sums",
        "By token or key only rows that still exist are summed: after retention the total is too small.",
        (Patch("storage.sqlite.usage:_sum_rows", "any(rest)", "False"),),
        (f"{_USAGE}totals_are_the_same_by_any_word_also_after_rows_were_removed",),
    ),
    Mutation(
        "large-sums-lose-the-carry",
        "What the low bits of costs come to beyond their own number is lost: sums of many rows are too small.",
        (Patch("join_sums", "(low or 0)", "(low or 0) % (1 << _BITS)"),),
        ("tests/cli/test_large_sums.py::test_usage_is_exact_by_any_word",),
    ),
    Mutation(
        "the-hour-that-comes-twice-turned-around",
        "Where clocks go back, sums of the second 02:00 stand before those of the first one.",
        (Patch("label_order", "_HOUR.fullmatch(text) is None", "True"),),
        (f"{_USAGE}the_hour_that_comes_twice_comes_in_order",),
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
    Mutation(
        "every-weekday-weighs-the-same",
        "A month that began with a weekend foretells thrift.",
        (Patch("Weekdays.weigh", "self.weights[weekday]", "self.weights[0]"),),
        ("tests/policy/test_forecast.py::test_a_week_that_repeats_goes_on_nearly_as_it_was",),
    ),
    Mutation(
        "names-as-html",
        "A model or a user whose name is a script runs in the browser of who opens the report.",
        (Patch("cli.report_html:_spending", "map(escape, shown)", "shown"),),
        ("tests/cli/test_report.py::test_html_is_one_page_without_anything_that_runs_or_loads",),
    ),
    Mutation(
        "names-as-formulas",
        "A name that begins with = runs in the spreadsheet of who opens the report.",
        (Patch("report_csv", "safe_cell(name)", "name"),),
        ("tests/cli/test_report.py::test_csv_holds_every_table_and_no_formula",),
    ),
    Mutation(
        "late-costs-without-their-rate",
        "Costs that became known late stand in the report at the first rate there ever was.",
        (Patch("sum_late", "local_amount(pusd, usd_rate)", "local_amount(pusd, wanted.rates[0].usd_rate)"),),
        ("tests/cli/test_report.py::test_late_costs_have_the_rates_of_their_days",),
    ),
    Mutation(
        "everything-in-every-part",
        "What the models of a pattern cost is shown as what all of them cost.",
        (Patch("usage_part:_has_values", "fits(key[word], value)", "True"),),
        (f"{_FIGURES}usage_is_read_of_a_part_and_sorted",),
    ),
    Mutation(
        "a-part-that-is-everything",
        "What one model cost is shown as what all of them cost.",
        (Patch("read_usage_part", "replace(wanted, only=tuple(exact.items()))", "wanted"),),
        (f"{_FIGURES}usage_is_read_of_a_part_and_sorted",),
    ),
    Mutation(
        "a-part-that-counts-its-tags",
        "The total of a part of the requests, by tag, has a request once for each of its tags.",
        (Patch("read_matching_usage", '"tag" not in by', "True"),),
        ("tests/storage/test_export_formats.py::test_a_summary_of_some_has_each_request_once",),
    ),
    Mutation(
        "a-morning-is-a-month",
        "What the first hours of a month cost is projected as what a whole month costs.",
        (
            Patch(
                "finance:_outlook",
                "total.cost_pusd if is_over else expected",
                "total.cost_pusd if expected is None else expected",
            ),
        ),
        ("tests/cli/test_report.py::test_a_month_that_is_too_young_foretells_nothing",),
    ),
    Mutation(
        "half-hours-that-were-removed",
        "Where days begin within an hour, what retention has removed of these hours is in no day.",
        (Patch("storage.sqlite.usage:_RolledHours.beyond_rows", "any(rest)", "False"),),
        ("tests/storage/test_usage.py::test_days_that_begin_within_an_hour_keep_what_was_removed",),
    ),
    Mutation(
        "keys-without-their-removed-rows",
        "What a key has counted is held against the rows that retention has left, and the rest is drift.",
        (Patch("compare_key", "all(one.is_whole for one in own)", "True"),),
        ("tests/storage/test_key_books.py::test_a_key_has_its_own_days_as_far_as_there_are_rows",),
    ),
    Mutation(
        "yesterday-kept-as-today",
        "After midnight the dashboard goes on to show the sums of the day before as those of this one.",
        (Patch("read_sums", 'f"{name} {period.word} {period.since_ms} {day} {zone.key}"', 'f"{name} {period.word}"'),),
        ("tests/dashboard/test_large_sums.py::test_sums_are_kept_for_their_day_and_zone",),
    ),
    Mutation(
        "others-not-in-the-series",
        "A chart shows the dearest models, and nothing of what all others cost together.",
        (
            Patch(
                "read_usage_series",
                "[SpendingRow.total(group).under(key) for key, group in others.items()]",
                "[]",
            ),
        ),
        (f"{_FIGURES}usage_is_read_of_a_part_and_sorted",),
    ),
    Mutation(
        "a-flood-counts-as-one",
        "Thousands of refusals that one row stands for are counted as one.",
        (TextPatch("_sum_query", "sum(1 + more)", "count(*)"),),
        ("tests/contracts/test_request_reports.py::test_counts_of_refusals_and_how_far_back_they_go",),
    ),
    Mutation(
        "limits-told-when-it-is-too-late",
        "A limit is listed once it is spent, and not before.",
        (Patch("attention:_limits", "percent_used(row) >= _LIMIT_PERCENT", "percent_used(row) >= 100"),),
        ("tests/web/test_attention.py::test_limits_that_are_nearly_spent",),
    ),
)
