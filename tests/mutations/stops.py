"""Bugs of stops, and of the audit trail."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch

_STOPS = "tests/stops/test_stops.py::test_"
_LIFETIME = "tests/stops/test_lifetime.py::test_"
_EASED = "tests/stops/test_eased.py::test_"
_CHAIN = "tests/storage/test_audit_chain.py::test_"
_BEFORE = "if services.stops.active:\n    services.stops.check(context)"

MUTATIONS: Final = (
    Mutation(
        "cut-before-the-commit",
        "A stop ends an answer whose end is being written, so that a client has it before it is on disk.",
        (Patch("RequestContext.stop", "self.stopped is not None or self.is_logged", "self.stopped is not None"),),
        ("tests/stops/test_stops.py::test_an_answer_whose_end_is_being_written_is_not_cut[True]",),
    ),
    Mutation(
        "stopped-after-the-reservation",
        "A stop is looked at when a request is about to be sent: by then it holds money, and has a row.",
        (
            Patch("pipeline.identity.identify:identify", "services.stops.active", "False"),
            Patch("_find_way", "services.stops.active", "False"),
            Patch("planned_hops", "services.stops.active", "False"),
            Patch("admission.reserve:reserve", "services.stops.active", "False"),
        ),
        (f"{_STOPS}whom_a_stop_concerns[all]", f"{_STOPS}whom_a_stop_concerns[user]"),
    ),
    Mutation(
        "stopped-before-the-first-attempt-alone",
        "Between attempts nobody looks at what is stopped: retries go on after it.",
        (
            Patch("_go_on", f"hops.set_failed(...)\n{_BEFORE}", "hops.set_failed(...)"),
            Patch("_go_on", f"if context.gone:\n    return None\n{_BEFORE}", "if context.gone:\n    return None"),
            Patch("Hops.is_halted", "stops.check(self._context)"),
        ),
        (f"{_STOPS}who_waits_for_the_next_try_is_refused_at_once",),
    ),
    Mutation(
        "a-stopped-provider-is-the-next-target",
        "A provider that is stopped while another fails is asked all the same.",
        (
            Patch("Hops.is_halted", "told is None", "True"),
            Patch("Hops._place", "self._services.stops.active", "False"),
        ),
        (f"{_STOPS}between_attempts_a_provider_that_is_stopped_is_passed_over",),
    ),
    Mutation(
        "stops-forgotten-at-a-start",
        "A restart lets everything go on.",
        (Patch("Stops.load", "self._set(stops)", "self._set(())"),),
        (f"{_LIFETIME}a_stop_holds_after_a_restart_and_is_on_record",),
    ),
    Mutation(
        "stopped-in-memory-alone",
        "A stop is confirmed before it is on disk, and never written.",
        (Patch("Stops.add", "await self._write(stop, claim)"),),
        (f"{_LIFETIME}a_stop_holds_after_a_restart_and_is_on_record",),
    ),
    Mutation(
        "who-waits-is-not-woken",
        "A request that waits for room under a limit hears of a stop only when its wait is over.",
        (Patch("Stops._reach_out", "self._limiter.wake()"),),
        (f"{_STOPS}who_waits_for_room_is_refused_at_once",),
    ),
    Mutation(
        "joined-after-a-stop",
        "A request with an Idempotency-Key joins another's answer though its model is stopped.",
        (Patch("pipeline.run:respond", "services.stops.active", "False"),),
        (f"{_STOPS}who_would_join_an_answer_is_refused",),
    ),
    Mutation(
        "cut-and-free",
        "What was cut off by a stop counts as never sent.",
        (
            Patch(
                "RequestContext.stop",
                "attempt_result.flags |= {STOPPED}",
                "attempt_result.flags |= {STOPPED}\nattempt_result.dispatched = False",
            ),
        ),
        (f"{_STOPS}with_cut_a_stream_ends_with_an_error_of_its_protocol[openai/gpt-4o-mini-chat]",),
    ),
    Mutation(
        "downgraded-in-name-alone",
        "Who is to be sent by a preset is told so, and goes on with what they asked for, at its price.",
        (
            Patch(
                "admission.eased:open_route",
                "route = _downgraded(...)",
                "_downgraded(context, eased.downgrade, services)",
            ),
        ),
        (f"{_EASED}whom_a_downgrade_concerns_and_how_it_is_told[user]",),
    ),
    Mutation(
        "slowed-and-let-in-at-once",
        "A turn is taken, and nobody waits for it.",
        (Patch("admission.eased:_wait_for_turn", "wait_s > 0", "False"),),
        (f"{_EASED}who_is_slowed_waits_for_a_turn_until_it_is_resumed[user]",),
    ),
    Mutation(
        "a-stop-is-over-only-while-the-clock-says-so",
        "A clock that steps back lets a stop begin again whose time was over.",
        (Patch("Stops.in_force", "self._drop(stop)\nself._ended[stop.id] = PROXY", "self._ended[stop.id] = PROXY"),),
        (f"{_LIFETIME}it_ends_by_itself_and_never_begins_again",),
    ),
    Mutation(
        "an-end-that-nobody-misses",
        "The chain of the audit trail is compared row by row, and never with its head: a cut end does not show.",
        (
            Patch("verify_chain", "head is not None and last.id < head.id", "False"),
            Patch("verify_chain", "head is not None and last != head", "False"),
        ),
        (f"{_CHAIN}every_damage_is_found[cut_the_end]",),
    ),
    Mutation(
        "a-hash-without-the-state",
        "What was before, and after, takes no part in an entry's hash.",
        (Patch("audit_hash", "(..., row.subject, row.before, row.after)", "(..., row.subject)"),),
        (f"{_CHAIN}every_damage_is_found[change_a_cell]",),
    ),
)
