"""Bugs of the comparison with the bill: cents that no class has, bookings on a guess, twice, or of the wrong sign."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch, TextPatch

_DAY = "tests/policy/reconciliation/test_day_comparison.py::test_"
_MONTH = "tests/reconciliation/test_month.py::test_every_cent_is_in_its_class_and_then_booked"
_PIECES = "tests/reconciliation/test_month.py::test_a_bill_that_comes_in_pieces_late_and_not_at_all_is_the_same"
_LEDGER_DAY = "tests/storage/test_ledger_day.py::test_nothing_of_a_day_is_lost"

MUTATIONS: Final = (
    Mutation(
        "drift-left-out",
        "What the bill has beside its calls is in no class.",
        (
            Patch(
                "day_comparison:_with_rest",
                "rest_pusd = billed_pusd - booked_pusd - sum(one.amount_pusd for one in entries)",
                "rest_pusd = 0",
            ),
        ),
        (f"{_DAY}the_classes_add_up_to_the_drift",),
    ),
    Mutation(
        "booked-on-silence",
        "A request that the bill does not list is booked at nothing, whether or not the bill is whole.",
        (
            Patch(
                "day_comparison:_class_of", "is_found or (is_listed_whole and not is_recent and not is_waiting)", "True"
            ),
        ),
        (f"{_DAY}only_a_complete_bill_says_that_nothing_was_charged",),
    ),
    Mutation(
        "booked-in-doubt",
        "A call that may be a request whose reservation is charged is booked apart too.",
        (Patch("day_comparison:_of_stranger", "whole_pusd > 0 and not is_doubtful", "whole_pusd > 0"),),
        (f"{_DAY}doubt_books_nothing",),
    ),
    Mutation(
        "booked-apart-and-for-a-request",
        "A call that was booked for nobody stays booked where a request turns out to be it.",
        (Patch("day_comparison:compare_day", "one.reference in of_requests and one.amount_pusd", "False"),),
        (f"{_DAY}a_call_that_is_a_request_after_all_is_not_booked_apart_any_more",),
    ),
    Mutation(
        "others-spending-in-limits",
        "What a key was used for before it came here counts in today's limits.",
        (
            Patch(
                "day_comparison:_of_stranger",
                "max(books.begun_ms, books.keys_begun_ms.get(call.key_hash, 0))",
                "books.begun_ms",
            ),
        ),
        (f"{_DAY}what_was_before_the_proxy_or_its_key_is_never_booked",),
    ),
    Mutation(
        "a-sum-beside-its-calls",
        "A day that was booked as a sum stays booked when its calls are.",
        (Patch("day_comparison:_not_billed", "given_way_pusd > 0", "False"),),
        (f"{_DAY}a_sum_gives_way_to_the_calls_that_it_was_made_of",),
    ),
    Mutation(
        "byok-at-the-fee-alone",
        "A call of which the record does not say what others bill is booked as if they billed nothing.",
        (
            Patch(
                "read_generation",
                'data.get("is_byok") is True',
                'data.get("is_byok") is True and data.get("upstream_inference_cost") is not None',
            ),
        ),
        ("tests/faults/test_generation.py::test_u27_never_known",),
    ),
    Mutation(
        "midnight-lost",
        "A call that is billed after midnight is missed on its day, and nobody's on the next.",
        (Patch("day_comparison:compare_day", "generation_id in of_other_days", "False"),),
        (_MONTH,),
    ),
    Mutation(
        "bill-out-of-order",
        "What is read ahead is listed as it comes, among the calls of the hour before it.",
        (Patch("day_bill:BillReader._hour", "await before.is_listed.wait()", "pass"),),
        ("tests/reconciliation/test_day_bill.py::test_calls_are_listed_as_if_each_had_waited",),
    ),
    Mutation(
        "own-key-taken-for-a-refund",
        "What the provider behind the provider bills is held for charged by this one.",
        (
            Patch(
                "day_comparison:_of_request",
                "left_pusd = billed_pusd + upstream_pusd - request.booked_pusd",
                "left_pusd = billed_pusd - request.booked_pusd",
            ),
        ),
        (_MONTH,),
    ),
    Mutation(
        "fee-for-the-whole",
        "Of a call whose cost nobody told, what the provider behind the provider bills is left out.",
        (
            Patch(
                "day_comparison:_upstream",
                "max(request.upstream_pusd, sum(call.upstream_pusd for call in found))",
                "request.upstream_pusd",
            ),
        ),
        (f"{_DAY}what_somebody_else_bills_is_booked_with_it",),
    ),
    Mutation(
        "booked-down-unheard",
        "A request is booked at the fee alone while the record of its call can't be had.",
        (
            Patch(
                "day_comparison:_upstream",
                "not books.has_upstream or all(call.origin for call in found)",
                "True",
            ),
        ),
        (f"{_DAY}nothing_is_booked_down_while_somebody_else_may_bill_a_part",),
    ),
    Mutation(
        "upstream-of-lost-rows",
        "A call that no row names is booked at the fee alone.",
        (Patch("day_comparison:_of_stranger", "call.cost_pusd + call.upstream_pusd", "call.cost_pusd"),),
        (f"{_DAY}a_lost_row_is_booked_with_what_somebody_else_bills",),
    ),
    Mutation(
        "anybody's-session",
        "A call is taken for a request of another session, and one user is booked what another one spent.",
        (
            Patch(
                "call_matching:_partners",
                "not call.session or not request.session or call.session == request.session",
                "True",
            ),
        ),
        ("tests/policy/reconciliation/test_call_matching.py::test_a_session_tells_those_apart_that_time_does_not",),
    ),
    Mutation(
        "unknown-cost-agrees",
        "A request whose cost nobody knows agrees with any bill, and its call is held for a lost row.",
        (TextPatch("ledger_day:_AGREED", "r.cost_pusd IS 0", "ifnull(r.cost_pusd, 0) = 0"),),
        ("tests/storage/test_ledger_day.py::test_a_request_whose_cost_nobody_knows_may_be_a_call_of_the_bill",),
    ),
    Mutation(
        "another-provider's-figure",
        "What one provider's bill corrects is booked for another one's attempt, and taken back with each sync.",
        (Patch("corrections_of", "entry.attempt", "None"),),
        (f"{_DAY}a_figure_is_that_of_an_attempt_at_this_provider",),
    ),
    Mutation(
        "unknown-attempt-agrees",
        "An attempt of several whose cost nobody knows is no call of the bill, and its call is held for a lost row.",
        (Patch("ledger_day:_joined", "row[8] or row[12] != 'none' or row[19]", "row[8] or row[12] != 'none'"),),
        ("tests/storage/test_ledger_day.py::test_a_request_whose_cost_nobody_knows_may_be_a_call_of_the_bill",),
    ),
    Mutation(
        "apart-forgotten",
        "What was booked for no request is not read again: the next comparison books it once more.",
        (TextPatch("ledger_day:_APART", "request_id IS NULL", "request_id = 0"),),
        (_MONTH,),
    ),
    Mutation(
        "adjustments-not-in-the-day",
        "A day is compared as it was booked first.",
        (TextPatch("ledger_day:_ADJUSTED", "request_id >= ?1", "request_id < 0 AND request_id >= ?1"),),
        (_LEDGER_DAY,),
    ),
    Mutation(
        "awaited-taken-for-booked",
        "What single attempts of an awaited request have cost counts as booked.",
        (
            Patch(
                "ledger_day:_joined", "0 if is_awaited else sum(row[8] for row in rows)", "sum(row[8] for row in rows)"
            ),
        ),
        (_LEDGER_DAY,),
    ),
    Mutation(
        "truncated-unnoticed",
        "A bill that could not be had whole is final all the same.",
        (Patch("BillReader._list_span", "return hour.is_truncated", "return False"),),
        (_PIECES,),
    ),
    Mutation(
        "answers-of-a-time-lost",
        "Of a time that is told in several answers only the last one counts.",
        (Patch("DayCalls.take", "self.pending |= costs", "self.pending = costs"),),
        (_PIECES,),
    ),
    Mutation(
        "matched-call-forgotten",
        "Which call a request was is not remembered: on the next day, or look, it may be another's.",
        (
            Patch(
                "sqlite.reconciliation:write_pairs",
                "connection.executemany(_ADD_PAIR, [(provider, *pair) for pair in pairs.items()])",
            ),
        ),
        ("tests/contracts/test_ledger.py::test_a_matched_call_is_remembered",),
    ),
    Mutation(
        "drift-too-cheap-booked",
        "A bill that has next to nothing for many tokens is taken at its word: the money is spent twice.",
        (
            Patch(
                "day_comparison:_is_too_cheap",
                "return 2 * billed_pusd < min(listed_pusd, request.booked_pusd or listed_pusd)",
                "return False",
            ),
        ),
        (_DAY + "what_is_far_too_cheap_is_not_booked",),
    ),
    Mutation(
        "drift-other-entry-counted",
        "A call of a key that two entries have is on the bill of both of them.",
        (
            Patch(
                "day_calls:compare_calls",
                "call.generation_id not in ledger.elsewhere",
                "call is not None",
            ),
        ),
        ("tests/reconciliation/test_real_requests.py::test_a_key_of_two_providers_books_no_request_twice",),
    ),
    Mutation(
        "drift-sum-booked-twice",
        "What may be there under another name of the model is booked again, for the sum of the day.",
        (
            Patch(
                "sums_comparison:_is_too_much",
                "entry.drift_class in _MAY_BE_ELSEWHERE and entry.amount_pusd < 0",
                "entry.amount_pusd is None",
            ),
        ),
        ("tests/policy/reconciliation/test_sums_comparison.py::test_what_may_be_a_request_is_not_booked_by_sums",),
    ),
    Mutation(
        "drift-taken-back-elsewhere",
        "What is taken back is sought in another hour than the one where it was booked, and stays.",
        (
            Patch(
                "sqlite.adjustments:_book_unattached",
                "known or (cost.at_ms, cost.day, cost.model, cost.key)",
                "(cost.at_ms, cost.day, cost.model, cost.key)",
            ),
        ),
        ("tests/storage/test_adjustments.py::test_what_belongs_to_no_request_is_booked_once_by_its_reference",),
    ),
    Mutation(
        "key-drift-explained-away",
        "What is awaited explains any difference, so that calls from outside the proxy are never seen.",
        (Patch("key_reason:explain", "(PENDING, 0, doubt.pending_pusd)", "(PENDING, 0, abs(left_pusd))"),),
        (
            "tests/policy/reconciliation/test_key_reason.py::test_a_difference_has_the_reasons_that_the_ledger_knows",
            "tests/reconciliation/test_counted_keys.py::test_what_is_counted_is_what_is_booked_and_the_rest_is_from_outside",
        ),
    ),
    Mutation(
        "key-drift-of-adjusted-reservations",
        "A reservation that was corrected goes on to explain what the ledger has too much.",
        (TextPatch("storage.sqlite.key_books:_ADJUSTMENT", "= t.request_id", "IS NULL"),),
        ("tests/storage/test_key_books.py::test_what_of_a_key_is_not_certain_is_told_apart",),
    ),
    Mutation(
        "key-day-that-never-ends",
        "What a key was used for between the last look of a day and midnight is compared with nothing.",
        (
            Patch(
                "key_count_sync:KeyCountSync._keep", "count.opening_pusd - before.opening_pusd", "before.used_pusd + 0"
            ),
        ),
        ("tests/reconciliation/test_counted_days.py::test_days_are_kept_as_their_keys_counted_them",),
    ),
)
