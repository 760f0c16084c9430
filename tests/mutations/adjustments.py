"""Bugs of costs that come late: sums that are not moved, a truth that counts twice, or the other way round."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch, TextPatch

_SUMS = "tests/storage/test_adjustments.py::test_the_last_truth_counts_in_every_sum"
_DAYS = "tests/storage/test_usage_daily.py::test_reports_are_the_same_with_days_and_without"
_LIMITS = "tests/quotas/test_late_truths.py::test_"
_LOOKUPS = "tests/quotas/test_late_lookups.py::test_"

MUTATIONS: Final = (
    Mutation(
        "late-cost-not-in-its-hour",
        "A late cost gets its row, and the roll-up stays as it was.",
        (
            Patch(
                "sqlite.adjustments:_book",
                "connection.execute(_MOVE, moved)",
            ),
        ),
        (_SUMS,),
    ),
    Mutation(
        "late-cost-not-in-its-day",
        "A late cost moves its hour, and the day that is summed of it stays as it was.",
        (Patch("sqlite.adjustments:_book", "add_to_days(connection, _MOVED, [moved])"),),
        (_DAYS,),
    ),
    Mutation(
        "late-end-not-in-its-day",
        "A request ends after its day has been summed, and reports of days never hear of it.",
        (Patch("Writer._add_hours", "add_to_days(self._connection, statement.names, rows)", "pass"),),
        (_DAYS,),
    ),
    Mutation(
        "late-end-twice-in-its-day",
        "A request ends while its day is being summed: it is added, and its hour is taken again.",
        (Patch("add_to_days", "done is None or tuple(key) <= tuple(orjson.loads(done))", "True"),),
        (_DAYS,),
    ),
    Mutation(
        "late-cost-counted-twice",
        "What was corrected before is forgotten: the same truth is booked again.",
        (
            TextPatch(
                "sqlite.adjustments:_REQUEST",
                " + ifnull((SELECT sum(amount_pusd) FROM adjustments WHERE request_id = requests.id), 0)",
                "",
            ),
        ),
        (_SUMS,),
    ),
    Mutation(
        "late-cost-with-the-other-sign",
        "What was charged less is booked as more.",
        (Patch("sqlite.adjustments:_book", "wanted.actual_pusd - booked_pusd", "booked_pusd - wanted.actual_pusd"),),
        (_SUMS,),
    ),
    Mutation(
        "late-cost-not-in-limits",
        "Limits go on counting what was booked first, until the next start.",
        (Patch("LateTruths._move", "limiter.adjust(scopes, one.at_ms, one.amount_pusd, spending.answer)"),),
        (f"{_LIMITS}every_limit_that_counts_a_request_counts_its_late_cost",),
    ),
    Mutation(
        "late-cost-forgotten-by-a-restart",
        "Totals are rebuilt from what requests were booked at first.",
        (TextPatch("statements:QUOTA_ADJUSTMENTS", "amount_pusd", "0"),),
        (f"{_LIMITS}every_limit_that_counts_a_request_counts_its_late_cost",),
    ),
    Mutation(
        "late-cost-in-the-wrong-window",
        "A late cost counts where it became known, and not where its request began.",
        (
            Patch(
                "LateTruths._move",
                "limiter.adjust(scopes, one.at_ms, one.amount_pusd, spending.answer)",
                "limiter.adjust(scopes, self._clock.now_ms(), one.amount_pusd, spending.answer)",
            ),
        ),
        (f"{_LIMITS}a_window_that_has_passed_is_left_alone",),
    ),
    Mutation(
        "late-cost-not-in-key-limits",
        "The limits of a provider's key do not count what it was charged for later.",
        (
            Patch(
                "LateTruths._move",
                "self._key_use.adjust(one.charged.provider, one.charged.key, one.at_ms, one.amount_pusd, requests)",
            ),
        ),
        (f"{_LIMITS}what_belongs_to_no_request_counts_for_everyone_and_for_its_key",),
    ),
    Mutation(
        "late-look-up-of-one-attempt-alone",
        "A request of two attempts is booked at the one that was asked for last.",
        (Patch("LateLookups._ask_for", "one.others_pusd + moved[one.request_id] + actual_pusd", "actual_pusd"),),
        (f"{_LOOKUPS}each_attempt_is_told_by_itself",),
    ),
    Mutation(
        "never-asked-again",
        "What was charged in full stays so: nobody keeps that a generation is known.",
        (Patch("Writer._apply_ends", "add_lookups(self._connection, rows.several)"),),
        (f"{_LOOKUPS}a_cost_that_is_told_later_is_booked_in_every_sum",),
    ),
    Mutation(
        "adjustments-gone-with-the-row",
        "Retention removes what a request turned out to have cost: told again, it is booked again.",
        (Patch("remove_rows", '("attempt_rows", "late_lookups")', '("attempt_rows", "late_lookups", "adjustments")'),),
        ("tests/storage/test_adjustments.py::test_a_request_that_retention_removed_is_corrected_on_its_hour",),
    ),
    Mutation(
        "bill-takes-the-own-price-away",
        "The provider's bill is booked over a cost that holds what the operator asks for a request on top.",
        (Patch("sqlite.adjustments:_correct", "wanted.is_bill and holds_own_price", "False"),),
        (f"{_LIMITS}a_bill_leaves_the_price_that_the_operator_asks_on_top",),
    ),
)
