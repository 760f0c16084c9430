"""Bugs in what is told of accounts at providers, and in what trying a key costs."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch

_ACCOUNT = "tests/providers/test_account.py::test_"
_DOCTOR = "tests/web/test_admin_doctor.py::test_"

MUTATIONS: Final = (
    Mutation(
        "a-spent-budget-taken-for-a-bad-key",
        "A key whose budget is used up until midnight is thrown away as wrong.",
        (Patch("_error_told", "status == 401", "status in (401, 403)"),),
        (f"{_ACCOUNT}what_goes_wrong_is_said[fault2-refused-the key itself is good]",),
    ),
    Mutation(
        "a-firewall-taken-for-the-provider",
        "A firewall's page is taken for the provider's word that the key may not: the day is compared by sums only.",
        (Patch("_error_told", "not answer.is_own", "False"),),
        (f"{_ACCOUNT}what_is_not_the_providers_own_error_says_nothing_of_a_key",),
    ),
    Mutation(
        "asked-again-sooner-than-told",
        "A provider asks to be left alone for an hour, is asked again after five minutes, and shuts the account out.",
        (Patch("BillReader._note", "told_s <= _WAIT_MAX_S", "True"),),
        ("tests/reconciliation/test_day_bill.py::test_who_asks_to_wait_for_long_is_not_asked_before",),
    ),
    Mutation(
        "a-cut-answer-taken-for-whole",
        "Of a busy hour the bill shows the first thousand answers, and all others look as though they were free.",
        (Patch("read_costs", "metadata.truncated", "False"),),
        (f"{_ACCOUNT}costs_of_generations_are_whole_though_answers_are_cut",),
    ),
    Mutation(
        "charged-twice-and-read-once",
        "Of a generation that the bill names twice the last sum counts, and the rest is never booked.",
        (Patch("read_costs", "costs[id_] += pusd", "costs[id_] = pusd"),),
        ("tests/providers/test_costs_answer.py::test_the_usual_shape_needs_no_model",),
    ),
    Mutation(
        "a-charge-taken-for-a-copy",
        "A generation is charged the same amount twice, and the second charge is never booked.",
        (Patch("read_costs", "metadata.row_count == len(once)", "True"),),
        ("tests/providers/test_costs_answer.py::test_equal_rows_are_copies_only_where_the_answer_counts_them_once",),
    ),
    Mutation(
        "a-refund-read-as-a-charge",
        "What is given back on the bill is booked as though it were spent once more.",
        (
            Patch(
                "_plain_rows",
                'signed_pusd(text) if text[0] == "-" else usd_to_pusd(text)[0]',
                "usd_to_pusd(text.strip('-'))[0]",
            ),
        ),
        ("tests/providers/test_costs_answer.py::test_no_way_of_writing_it_is_read_otherwise",),
    ),
    Mutation(
        "no-limit-taken-for-nothing",
        "A key without a limit looks as though it could spend nothing, for what is null is read as zero.",
        (Patch("_optional", "None if value is None else read(value)", "read(value or 0)"),),
        ("tests/providers/test_amounts.py::test_null_is_no_amount_and_what_nothing_rests_on_may_be_odd",),
    ),
    Mutation(
        "an-amount-that-makes-no-sense-booked-as-none",
        "What a row of the bill was charged cannot be read, and the day looks cheaper than it was.",
        (Patch("_reader", "of[1] is _LOOSE", "True"),),
        ("tests/providers/test_odd_fields.py::test_what_money_depends_on_is_an_error_and_never_nothing",),
    ),
    Mutation(
        "a-page-of-the-bill-left-out",
        "A page says that there is more, and not where: the day ends there, and what is on the rest is never booked.",
        (Patch("read_bill_page", "page.has_more and not page.next_page", "False"),),
        ("tests/providers/test_odd_fields.py::test_a_page_that_says_there_is_more_and_not_where_is_no_whole_bill",),
    ),
    Mutation(
        "credits-read-with-a-key-that-sees-none",
        "An ordinary key is answered with a balance of zero, and everybody is told that there is no money.",
        (
            Patch(
                "OpenRouterAccount.__init__", "_WITHOUT_MANAGEMENT if provider.management_key is None else _ALL", "_ALL"
            ),
        ),
        (f"{_ACCOUNT}without_a_management_key_only_what_any_key_may_is_asked",),
    ),
    Mutation(
        "a-try-that-nobody-pays",
        "An answer without a usage is taken to be free, and the provider's bill is higher than the ledger.",
        (Patch("_trial_cost", "trial.worst_pusd if found is None else found", "found or 0"),),
        (f"{_DOCTOR}a_try_that_fails_is_booked_unless_it_was_certainly_free",),
    ),
    Mutation(
        "a-request-sent-with-the-key-of-the-account",
        "The key that reads the bill goes out with requests, and each of them is refused.",
        (Patch("is_management", 'row["settings"].get(MANAGEMENT) is True', "False"),),
        ("tests/config/test_key_overlay.py::test_a_management_key_is_never_sent_with_requests_and_the_files_wins",),
    ),
)
