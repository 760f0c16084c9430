"""Bugs of settlement: what an attempt comes to, and what happens to its reservation."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch

_SETTLING = "tests/quotas/test_settling.py::test_"
_EVERY_STEP = "tests/holds/test_every_step.py::test_nothing_stays_held"
_FINALITY = "tests/faults/test_finality.py::test_"
_LOOKED_UP = "tests/pipeline/test_looked_up.py::test_"
_GATEWAY = "tests/faults/test_gateway.py::test_"

MUTATIONS: Final = (
    Mutation(
        "a-whole-request-before-its-row",
        "The provider may work on a request, and charge it, before its row is on disk: a crash forgets it.",
        (
            Patch(
                "PooledTransport.send",
                "try:\n    await may_end()\nexcept BaseException:\n    answer.abort()\n    raise",
            ),
        ),
        (
            "tests/faults/test_order.py::test_the_row_comes_before_the_whole_request[short-plain]",
            "tests/faults/test_order.py::test_the_row_comes_before_the_whole_request[long-stream]",
        ),
    ),
    Mutation(
        "nothing-held-back",
        "All of a request goes out while its row is on its way to the disk, and the end is sent once more.",
        (Patch("PooledTransport.send", "size if size <= HELD_WHOLE_BYTES else HELD_BYTES", "0"),),
        ("tests/faults/test_order.py::test_the_row_comes_before_the_whole_request[long-plain]",),
    ),
    Mutation(
        "half-a-request-before-the-next",
        "A connection that half a request has gone out on is used again: the next one is read as its rest.",
        (
            Patch(
                "PooledTransport.send",
                "try:\n    await may_end()\nexcept BaseException:\n    answer.abort()\n    raise",
                "await may_end()",
            ),
        ),
        (
            "tests/providers/test_transport_held.py::test_where_it_may_not_end_the_provider_gets_no_request[asyncio-pool-raised]",
        ),
    ),
    Mutation(
        "a-whole-answer-before-its-end",
        "A client has all of an answer before its settlement is on disk: a crash forgets what it cost.",
        (
            Patch(
                "all_but_end",
                "memoryview(body)[:-held]",
                "memoryview(body)",
            ),
        ),
        ("tests/faults/test_order.py::test_the_end_comes_before_the_whole_answer[json-fast]",),
    ),
    Mutation(
        "looked-up-with-the-first-key",
        "A bill is asked for with the provider's first key, whatever the attempt went out with.",
        (Patch("providers.generation:look_up", "provider.dialect.auth_headers(key)", "provider.auth_headers()"),),
        (f"{_LOOKED_UP}what_was_hung_up_on_is_asked_for_with_its_own_key",),
    ),
    Mutation(
        "keys-forgotten-by-a-restart",
        "The name of the key in the row is not read: after a restart the first key asks.",
        (
            Patch(
                "place_by_name",
                "[each for each in provider.keys if each.name == key]",
                "list(provider.keys[:1])",
            ),
        ),
        (f"{_LOOKED_UP}after_a_restart_the_key_is_found_by_its_name[second key]",),
    ),
    Mutation(
        "a-gateway-that-gave-up-is-free",
        "A status outside 2xx is free, also where somebody on the way only gave up waiting.",
        (
            Patch(
                "pipeline.settlement.settle:_said_that_it_failed",
                "attempt_result.status is None or attempt_result.unproven",
                "attempt_result.status is None",
            ),
        ),
        (
            f"{_GATEWAY}u14_what_may_have_been_billed_is_not_sent_again",
            f"{_GATEWAY}u14_an_idempotency_key_is_billed_once",
        ),
    ),
    Mutation(
        "a-generation-beside-a-failure-is-not-asked-for",
        "A refusal that names a generation is free without asking.",
        (
            Patch(
                "_certainly_unbilled",
                "if attempt_result.generation_id is not None and terms.has_generations:\n    return False",
            ),
        ),
        (f"{_GATEWAY}u14_a_generation_beside_a_failure_is_looked_up",),
    ),
    Mutation(
        "an-empty-200-costs-the-worst-case",
        "An answer with neither a choice nor a count is charged as though it were one.",
        (Patch("WholeRelay._look_for_error", "says_nothing(message)", "False"),),
        ("tests/faults/test_gateway.py::test_u11_a_200_that_holds_nothing",),
    ),
    Mutation(
        "hold-of-a-key-lost",
        "What an attempt holds of its key's limits is forgotten before it has ended: where that fails it stays.",
        (
            Patch(
                "Recorder._end_key",
                "self._services.health.use.end(attempt.key_held, settlement.cost_pusd)\nattempt.key_held = None",
                "held, attempt.key_held = attempt.key_held, None\n"
                "self._services.health.use.end(held, settlement.cost_pusd)",
            ),
        ),
        (f"{_EVERY_STEP}[end of a key]",),
    ),
    Mutation(
        "hold-of-a-key-lost-as-its-window-moves",
        "A rolling window of a key is summed anew without what running attempts hold, and falls below nothing.",
        (
            Patch(
                "KeyUse.begin",
                "totals.open[held.request_id] = held",
                "totals.open[held.request_id] = Hold(0, (), 0, (0, 0, 0, NO_PIECES), running=True)",
            ),
        ),
        ("tests/quotas/test_key_limits.py::test_what_runs_stays_set_aside_while_its_window_moves[24h]",),
    ),
    Mutation(
        "reservation-lost-on-cancel",
        "A reservation leaks when the client goes: in time false refusals, and then limits are switched off.",
        (
            Patch(
                "Recorder._written",
                "limiter.settle(id_, state, settlement.cost_pusd, self._quota_tokens, self._quota_pieces, answer)",
                "if not self._context.gone:\n"
                "    tokens, pieces = self._quota_tokens, self._quota_pieces\n"
                "    limiter.settle(id_, state, settlement.cost_pusd, tokens, pieces, answer)",
            ),
        ),
        (f"{_SETTLING}a_cancelled_request_leaves_no_reservation",),
    ),
    Mutation(
        "reservation-lost-on-a-full-disk",
        "A reservation whose row could not be written is never given back.",
        (Patch("Recorder._decide", "await services.limiter.release(self.reservation.id)"),),
        (f"{_SETTLING}no_reservation_on_disk_no_request",),
    ),
    Mutation(
        "plain-whatever-it-cost",
        "A cost above the reservation ends like the one before it: nothing says so, and no total is raised in time.",
        (Patch("plain_end", "cost_pusd > reserved_pusd", "False"),),
        ("tests/pipeline/test_plain_end.py::test_however_it_came_to_be",),
    ),
    Mutation(
        "unheld-in-one-step",
        "What no price was known for is spent while its row is written, and no limit sees it until then.",
        (
            Patch(
                "Recorder._settle_plainly",
                "self._services.limiter.raise_to(reservation.id, self.settlement.cost_pusd or 0)",
                "pass",
            ),
        ),
        ("tests/pipeline/test_plain_end.py::test_a_cost_that_nothing_was_held_for_is_held_at_once",),
    ),
    Mutation(
        "plain-whatever-answered",
        "What answered the last request of a connection is booked for the next one as well.",
        (Patch("plain_end", "attempt_result.model != plain.model", "False"),),
        ("tests/pipeline/test_plain_end.py::test_whatever_was_answered_before",),
    ),
    Mutation(
        "a-place-in-the-queue-is-lost",
        "What a request took of its provider, a place in its queue and the pass of a breaker, is never given back.",
        (Patch("pipeline.run:answer", "hops.leave()"),),
        (f"{_EVERY_STEP}[relay]",),
    ),
    Mutation(
        "reservation-lost-behind-an-odd-exception",
        "The end of the recorder settles after the errors that somebody thought of, and after no other.",
        (
            Patch(
                "Recorder.end_after",
                "self.settlement is not None",
                "self.settlement is not None or not isinstance(error, ApiError | asyncio.CancelledError)",
            ),
        ),
        (f"{_EVERY_STEP}[relay]",),
    ),
    Mutation(
        "crash-leaves-it-open",
        "What a crash left open is never settled: it stays set aside for ever.",
        (Patch("SettlePending.start", "for row in left:\n    self._begin(row.id)"),),
        (f"{_SETTLING}what_a_kill_leaves_counts_from_the_first_moment",),
    ),
    Mutation(
        "crash-frees-it",
        "What was open when the process died is forgotten at the next start.",
        (
            Patch(
                "SettlePending._uncertain",
                'attempt.outcome == "open" and self._live.current.settings.ledger.after_crash == "release"',
                'attempt.outcome == "open"',
            ),
        ),
        (f"{_SETTLING}what_a_kill_leaves_counts_from_the_first_moment",),
    ),
    Mutation(
        "missing-cost-is-zero",
        "A row without a cost is summed as nothing.",
        (
            Patch(
                "give_up",
                'Settlement("settled", reserved_pusd, source, frozenset(flags))',
                'Settlement("settled", 0, source, frozenset(flags))',
            ),
        ),
        (f"{_SETTLING}a_figure_that_never_comes",),
    ),
    Mutation(
        "hang-up-is-free",
        "A client that closes before the usage comes pays nothing: free answers for whoever wants them.",
        (
            Patch(
                "settle",
                "flags = attempt_result.flags",
                "flags = attempt_result.flags\n"
                "if HUNG_UP in flags and (usage is None or usage.cost_pusd is None):\n"
                "    return Settlement('released', 0, 'none', attempt_result.flags)",
            ),
        ),
        (f"{_SETTLING}whoever_hangs_up_pays",),
    ),
    Mutation(
        "no-look-up",
        "What was broken off is guessed, though the provider would tell what it charged.",
        (
            Patch(
                "pipeline.settlement.settle:_unknown",
                "terms.has_generations and attempt_result.generation_id is not None",
                "False",
            ),
        ),
        (f"{_SETTLING}a_figure_that_comes_late",),
    ),
    Mutation(
        "pending-frees-the-hold",
        "While the figure is looked up the money counts as free.",
        (Patch("MemoryLimiter.settle", "self.book.stop_running", "self.book.release"),),
        (f"{_SETTLING}a_figure_that_comes_late",),
    ),
    Mutation(
        "blind-retry",
        "After a break in the middle of an exchange the next target is asked without money for both.",
        (
            Patch(
                "Recorder.next_attempt",
                "raise_reservation(self._context, self.reservation, more, self._services)",
                "None",
            ),
        ),
        (f"{_SETTLING}no_second_try_without_money_for_both",),
    ),
    Mutation(
        "only-the-last-attempt",
        "A request that moved on is booked at what its last attempt cost.",
        (
            Patch(
                "total_settlement", "sum(settlement.cost_pusd or 0 for settlement in known)", "known[-1].cost_pusd or 0"
            ),
        ),
        (f"{_SETTLING}a_second_try_after_one_that_may_be_billed_reserves_anew",),
    ),
    Mutation(
        "bill-capped-at-the-reservation",
        "What exceeds the worst case is hidden by booking the worst case.",
        (
            Patch(
                "pipeline.settlement.settle:_settled",
                'Settlement("settled", cost_pusd, source, flags)',
                'Settlement("settled", min(cost_pusd, reserved_pusd or 0), source, flags)',
            ),
        ),
        (f"{_SETTLING}a_bill_above_the_worst_case",),
    ),
    Mutation(
        "zeros-are-believed",
        "A provider that counts nothing is booked at nothing, whatever it wrote.",
        (Patch("contradiction", "return ZERO", "return None"),),
        (f"{_FINALITY}zeros_in_a_plain_answer[plain]",),
    ),
    Mutation(
        "a-turned-down-answer-is-free",
        "An answer that a check turned down is let go where the provider has no record of it, as though it had failed.",
        (
            Patch(
                "jobs.settle_pending:_said_that_it_failed",
                "any(flag.startswith(CHECKS) for flag in flags)",
                "not any(flag.startswith(CHECKS) for flag in flags)",
            ),
        ),
        ("tests/routes/test_settings.py::test_an_answer_that_was_turned_down_is_not_free_where_nobody_has_its_record",),
    ),
)
