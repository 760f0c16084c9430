"""Bugs of limits: what is held, what is refused, in which window."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch

_BURST = "tests/quotas/test_bursts.py::test_exactly_as_many_as_there_is_room_for"
_CLAMP = "tests/quotas/test_clamp.py::test_"
_KINDS = "tests/quotas/test_kinds.py::test_"
_REFUSALS = "tests/quotas/test_refusals.py::test_"
_SETTLING = "tests/quotas/test_settling.py::test_"
_DATABASE = "tests/quotas/test_database_users.py::test_"
_RELOAD = "tests/holds/test_reload.py::test_"
_TAKEN_BACK = "tests/targets/test_taken_back.py::test_"
_SETS = "tests/quotas/test_model_sets.py::test_"
_SPENT = "tests/quotas/test_on_spent.py::test_"
_BLOCK = "tests/config/test_block.py::test_"
_LEFT_OUT = "tests/targets/test_left_out.py::test_"

MUTATIONS: Final = (
    Mutation(
        "a-null-switches-the-default-off",
        "A maximum that a client sends as null takes the preset's away, and the longest answer is asked and paid for.",
        (Patch("Endpoint.with_defaults", "value is not None or name not in found", "True"),),
        ("tests/wire/test_endpoint.py::test_a_null_is_nothing_sent",),
    ),
    Mutation(
        "check-then-add",
        "The limit is checked in one step and the amount added in a later one: everyone in between passes.",
        (
            Patch(
                "reserve",
                "admission = outcome",
                "admission = outcome\n"
                "from asyncio import sleep\n"
                "from proxy.policy.quota import Amounts\n"
                "await services.limiter.release(context.id)\n"
                "await sleep(0)\n"
                "amounts = Amounts(admission.amount_pusd or 0, admission.tokens or 0)\n"
                "await services.limiter.reserve(context.id, wanted.allowance.scopes, wanted.now_ms, amounts, ())",
            ),
        ),
        (_BURST,),
    ),
    Mutation(
        "counted-after-the-answer",
        "Nothing is set aside: only what has ended counts, so that all that run at once pass.",
        (
            Patch(
                "QuotaBook.check_and_reserve",
                "self._reserve(request_id, scopes, now_ms, (cost_pusd, tokens, requests, pieces), True)",
                "self._reserve(request_id, scopes, now_ms, Amounts(0, 0).taken, True)",
            ),
        ),
        (_BURST,),
    ),
    Mutation(
        "hold-shrunk-to-what-is-left",
        "A reservation above what is left is shrunk to it, and the request let in.",
        (
            Patch(
                "_fit_budget",
                "return await _unaffordable(found, wanted, limiter, snapshot)",
                "if left:\n"
                "    return Admission(left, _tokens(wanted, None), None, lowered=False)\n"
                "return await _unaffordable(found, wanted, limiter, snapshot)",
            ),
        ),
        (_BURST, f"{_CLAMP}never_below_256"),
    ),
    Mutation(
        "money-in-floats",
        "Totals are kept as floating point, and drift from the sum of the rows.",
        (
            Patch(
                "end_taken",
                "taken[COST] += more_pusd",
                "taken[COST] = int((taken[COST] / 1e12 + more_pusd / 1e12) * 1e12)",
            ),
        ),
        (f"{_SETTLING}a_restart_changes_no_figure",),
    ),
    Mutation(
        "comparison-with-slop",
        "The limit is compared with a tolerance for rounding, and passed by it.",
        (
            Patch(
                "LimitWindows.headroom_pusd",
                "most - taken[COST]",
                "most + 1 - taken[COST]",
            ),
            Patch("LimitWindows.refusals", "... + needed <= most", "... + needed <= most + 1"),
            Patch(
                "CountedLimit.refusal",
                "used + reserved + needed <= self.amount",
                "used + reserved + needed <= self.amount + 1",
            ),
        ),
        (f"{_CLAMP}never_below_256",),
    ),
    Mutation(
        "window-of-another-minute",
        "What ends after its window is over counts in the next one as well.",
        (Patch("end_taken", "totals.in_all_from_ms <= started_ms < totals.in_all_until_ms", "True"),),
        ("tests/policy/test_quota.py::test_a_storm_of_random_operations_never_overspends",),
    ),
    Mutation(
        "ended-but-not-settled",
        "What has ended is added to the buckets alone: it still counts as held, which soft limits do not count.",
        (Patch("RequestScopes.put_down", "_add(totals.settled, taken)", "pass"),),
        ("tests/policy/test_quota.py::test_a_soft_limit_counts_what_has_ended_and_not_what_is_held",),
    ),
    Mutation(
        "a-soft-limit-that-lags",
        "A soft limit does not count what has ended since somebody last looked.",
        (Patch("WindowTotals.settled", "self._late.put_down()", "pass"),),
        ("tests/policy/test_quota.py::test_a_soft_limit_counts_what_has_ended_and_not_what_is_held",),
    ),
    Mutation(
        "limits-that-stand-still",
        "What a limit leaves is worked out once, though a window has taken the place of another.",
        (Patch("QuotaBook._windows", "totals.moves != moves", "False"),),
        ("tests/policy/test_quota.py::test_what_two_users_share_moves_for_both",),
    ),
    Mutation(
        "limits-of-a-late-start",
        "A limit is held against what ended up to the last minute, and not against what has ended since.",
        (Patch("ScopeTotals.summed", "self.put_down()", "pass"),),
        ("tests/policy/test_quota.py::test_a_limit_that_comes_late_counts_what_nobody_has_looked_at",),
    ),
    Mutation(
        "blind-to-what-runs",
        "What was let in before a scope had limits holds nothing against them.",
        (Patch("QuotaBook._watched_scope", "totals.watch(self._open.values())", "totals.watch(())"),),
        ("tests/policy/test_quota.py::test_a_limit_that_comes_late_counts_what_nobody_has_looked_at",),
    ),
    Mutation(
        "no-hold-for-the-rich",
        "Users with a hundred times the amount left skip the reservation.",
        (
            Patch(
                "QuotaBook.check_and_reserve",
                "return self._reserve(request_id, scopes, now_ms, (cost_pusd, tokens, requests, pieces), True)",
                "left = self.headroom_pusd(quotas, now_ms)\n"
                "if left is not None and left >= 100 * amounts.cost_pusd:\n"
                "    cost_pusd = 0\n"
                "return self._reserve(request_id, scopes, now_ms, (cost_pusd, tokens, requests, pieces), True)",
            ),
        ),
        (_BURST,),
    ),
    Mutation(
        "all-of-it-for-the-first",
        "One request takes all that is left, and the second of the same turn is refused.",
        (Patch("clamp_output_tokens", "headroom_pusd // 2", "headroom_pusd"),),
        (f"{_CLAMP}two_calls_of_one_turn_both_pass",),
    ),
    Mutation(
        "lowered-without-a-word",
        "max_tokens is lowered and the client is not told.",
        (Patch("reserve", "_told(context, route, sent, admission, wanted.facts, services)", "None"),),
        (f"{_CLAMP}lowered_to_half_of_what_is_left",),
    ),
    Mutation(
        "limits-of-the-arrival",
        "A request is judged by the limits of the moment its head came: a slow body passes a limit set since.",
        (
            Patch(
                "pipeline.run:respond",
                "raw = await receive_body(context)\n"
                "context.snapshot = services.live.current\n"
                "identify(context, services, services.clock.now_ms())",
                "raw = await receive_body(context)",
            ),
            Patch("limit_to_use_case", "services.live.current", "context.snapshot"),
            Patch(
                "reserve",
                "if services.live.current is not in_force:\n    in_force = services.live.current\n    ...",
                "if False:\n    in_force = services.live.current\n    ...",
            ),
        ),
        (f"{_RELOAD}the_first_limit_of_a_use_case_holds_for_all_that_is_not_in_yet",),
    ),
    Mutation(
        "uncounted-while-the-past-is-read",
        "A use case gets its first limit, and what is let in while its past is summed up never counts.",
        (Patch("QuotaBook.with_kept", "scope in self._kept", "False"),),
        (f"{_RELOAD}what_is_let_in_while_the_past_is_read_counts",),
    ),
    Mutation(
        "counted-again-while-the-past-is-read",
        "A use case gets its first limit, and what is let in while its past is summed up counts twice.",
        (Patch("SqliteReports.quota_past", "frozenset(known.copy())", "frozenset[int]()"),),
        (f"{_RELOAD}what_is_let_in_while_the_past_is_read_counts",),
    ),
    Mutation(
        "limiter-never-registered",
        "A kind of limit is read, checked and documented, and nobody asks it.",
        (
            Patch(
                "user_limits",
                "decides[limit.kind, limit.models] is limits",
                'decides[limit.kind, limit.models] is limits and limit.kind != "tokens"',
            ),
        ),
        (f"{_KINDS}users[tokens]",),
    ),
    Mutation(
        "group-limits-not-asked",
        "The limit of a group holds only for users without limits of their own, or not at all.",
        (
            Patch(
                "build_allowance",
                "group_settings.limits.all if group_settings else ()",
                "()",
            ),
        ),
        (f"{_KINDS}groups[cost]",),
    ),
    Mutation(
        "set-ignored-at-settlement",
        "What is spent on a set of models is set aside there, and forgotten when it is settled.",
        (
            Patch(
                "QuotaBook._end_by_models",
                "not totals.models or is_counted(totals.models, answer)",
                "not totals.models",
            ),
        ),
        (f"{_SETS}money_to_the_pico_dollar",),
    ),
    Mutation(
        "set-forgotten-on-restart",
        "The rebuild reads the past of everything, and not what was spent on a set of models.",
        (
            Patch(
                "rebuilt_book",
                "book.load_models(part.models, totals.hours, totals.rows)",
                "book.load_models(part.models, (), ())",
            ),
        ),
        (f"{_SETS}money_to_the_pico_dollar",),
    ),
    Mutation(
        "parent-skipped",
        "A request is held against its own group, and against no group above it.",
        (Patch("build_allowance", "[quota for name in above if ... for quota in ...]", "[]"),),
        (f"{_SETS}groups_above_count_what_was_booked_below_them",),
    ),
    Mutation(
        "moved-with-its-past",
        "Groups above count by the tree of now, so that moving a group moves what it has spent.",
        (Patch("QuotaBook.load_rows", "row.above", "None"),),
        (f"{_SETS}groups_above_count_what_was_booked_below_them",),
    ),
    Mutation(
        "downgraded-unreserved",
        "Whoever is sent to a cheaper preset passes all limits there.",
        (
            Patch(
                "spent_limit:_downgraded",
                "_waive(context, waived)",
                "_waive(context, Waived(context.identity.allowance.quotas))",
            ),
        ),
        (f"{_SPENT}a_downgraded_burst_is_reserved_to_the_pico_dollar",),
    ),
    Mutation(
        "windows-in-utc",
        "Days begin at midnight in UTC whatever the time zone says.",
        (Patch("rebuilt_book", "QuotaBook(zone)", 'QuotaBook(ZoneInfo("UTC"))'),),
        (f"{_KINDS}windows_of_the_zone", f"{_REFUSALS}the_reset_is_told_in_the_zone_of_the_windows"),
    ),
    Mutation(
        "a-month-of-thirty-days",
        "A month is thirty days from its first.",
        (Patch("_next_first", "(first + timedelta(days=31)).replace(day=1)", "first + timedelta(days=30)"),),
        (f"{_KINDS}windows_of_the_zone",),
    ),
    Mutation(
        "clock-that-leaps",
        "A wall clock that leaps opens a new window, and with it a new budget.",
        (
            Patch(
                "TrustedClock.now_ms",
                "trusted_ms(wall_ms(), monotonic_s())",
                "wall_ms()",
            ),
        ),
        (f"{_KINDS}a_clock_that_leaps_frees_nothing",),
    ),
    Mutation(
        "reset-by-a-job",
        "Totals are set to zero now and then instead of being looked up by their window.",
        (
            Patch(
                "QuotaBook._fold",
                "totals.fold(now_ms, self.zone, self._horizon_ms)",
                "totals.__init__(totals.scope)\nself._windows_of.clear()",
            ),
        ),
        (f"{_KINDS}users[cost]",),
    ),
    Mutation(
        "edit-zeroes-the-spend",
        "Changing a limit sets what was spent to zero.",
        (
            Patch(
                "SnapshotBuilder.build",
                "people = await asyncio.to_thread(_read_people, self._reports, settings)",
                "if self.limiter is not None:\n"
                "    self.limiter.book._scopes.clear()\n"
                "    self.limiter.book._totals_of.clear()\n"
                "    self.limiter.book._windows_of.clear()\n"
                "people = await asyncio.to_thread(_read_people, self._reports, settings)",
            ),
        ),
        (f"{_KINDS}users[cost]", f"{_DATABASE}a_change_keeps_what_was_spent"),
    ),
    Mutation(
        "curable-refusal-first",
        "Of several refusals one is told that waiting would cure, and the request waits in vain.",
        (
            Patch(
                "first_refusal",
                "(refused.only_reservations_in_way, refusal_order(refused.quota))",
                "refusal_order(refused.quota)",
            ),
        ),
        (f"{_REFUSALS}what_waiting_cannot_cure_is_told_at_once[limit0]",),
    ),
    Mutation(
        "a-bound-is-dropped",
        "A maximum that money rests on is left out because the server does not know its name.",
        (Patch("may_leave_out", "limit is None or ...", "limit is not None and ..."),),
        (f"{_TAKEN_BACK}a_bound_that_money_rests_on_is_never_dropped",),
    ),
    Mutation(
        "a-dropped-bound-is-not-held-for",
        "The maximum is left out, and what the model may write without it is not set aside.",
        (Patch("_may_change", "change.sets_bound", "False"),),
        (f"{_TAKEN_BACK}the_models_own_maximum_is_held_for_where_no_bound_is_taken",),
    ),
    Mutation(
        "the-other-name-loses-the-figure",
        "A maximum goes under its other name without the figure that was reserved for.",
        (
            Patch(
                "in_form",
                "{there if key == name else key: value for key, value in found.items()}",
                "{key: value for key, value in found.items() if key != name}",
            ),
        ),
        (f"{_TAKEN_BACK}a_bound_has_two_names",),
    ),
    Mutation(
        "soft-limits-look-back-only",
        "A soft limit lets everything in until it is spent, whatever it will cost.",
        (Patch("_hold", "allowance.has_soft", "False"),),
        (f"{_LEFT_OUT}a_soft_limit_asks_what_it_is_thought_to_come_to",),
    ),
    Mutation(
        "a-raised-bound-is-not-held",
        "A bound that a target makes the proxy raise is not held against limits on tokens.",
        (
            Patch(
                "Recorder._shortfall",
                "raised_tokens(self.reservation.route, target)",
                "0 * raised_tokens(self.reservation.route, target)",
            ),
        ),
        ("tests/targets/test_taken_back.py::test_a_bound_that_has_to_be_raised_counts_for_limits_on_tokens",),
    ),
    Mutation(
        "a-mistake-in-a-setting-passed-over",
        "A limit that cannot be read is none, and whoever wrote it is told of no mistake.",
        (Patch("validator", "raise FaultInvalid(Fault((), error)) from None", "return None"),),
        (f"{_BLOCK}all_that_is_wrong_is_found_in_its_place",),
    ),
    Mutation(
        "a-bound-of-a-setting-not-held",
        "A price below zero is taken, and every request by that model earns money.",
        (Patch("Bounds.around", "self.ge is not None", "False"),),
        (f"{_BLOCK}all_that_is_wrong_is_found_in_its_place",),
    ),
)
