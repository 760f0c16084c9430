"""Bugs of alerts: what is told, how often, and to whom."""

from typing import Final

from tests.mutations.mutation import Mutation, Patch

_STATE = "tests/policy/alerts/test_alert_state.py::test_"
_ACTIONS = "tests/alerts/test_actions.py::test_"
_WATCH = "tests/alerts/test_watch.py::test_"
_SENDERS = "tests/alerts/test_senders.py::test_"
_OUTBOX = "tests/alerts/test_outbox.py::test_"
_MEASURES = "tests/policy/alerts/test_measures.py::test_"

MUTATIONS: Final = (
    Mutation(
        "an-action-that-outlives-its-alert",
        "Whom a rule slows or downgrades stays so when the alert is over.",
        (Patch("AlertWatch._check", "await self._end_stops(rules, look.held, look.acting)"),),
        (f"{_ACTIONS}a_downgrade_comes_with_the_last_threshold_and_ends_with_the_window",),
    ),
    Mutation(
        "an-action-at-the-first-threshold",
        "A rule that is to tell first and act last acts as soon as it tells.",
        (Patch("AlertLook._hold_one", "after.peak == len(limits.at)", "True"),),
        (f"{_ACTIONS}a_downgrade_comes_with_the_last_threshold_and_ends_with_the_window",),
    ),
    Mutation(
        "alert-told-whenever-it-rises",
        "What was told in this window is forgotten: a value that swings rings all night.",
        (Patch("_risen", "reached <= state.peak", "False"),),
        (f"{_STATE}what_comes_back_beyond_the_margin_is_over_and_is_not_told_again_in_its_window",),
    ),
    Mutation(
        "alert-state-in-memory",
        "Where a rule stands is not stored with what is told: each start tells it again.",
        (
            Patch(
                "AlertWatch._write",
                "AlertNotes(look.states, look.alerts, samples=samples)",
                "AlertNotes((), [note._replace(once_ms=note.once_ms + id(note)) for note in look.alerts])",
            ),
        ),
        (f"{_WATCH}a_limit_is_told_at_each_threshold_once_through_restarts_and_a_clock_that_steps",),
    ),
    Mutation(
        "limit-told-as-spent-before-it-is",
        "A share is rounded: 99.999 % is told as spent.",
        (
            Patch(
                "alerts.measures:_percent",
                "(part * 10_000 // max(whole, 1)) / 100",
                "round(part * 100 / max(whole, 1))",
            ),
        ),
        (f"{_MEASURES}a_share_is_100_exactly_where_all_is_used",),
    ),
    Mutation(
        "webhook-led-inwards-by-its-name",
        "A name is checked nowhere but when it is written: it is pointed at the machine itself later.",
        (
            Patch("OuterResolver.resolve", "any(is_inner(each['host']) for each in found)", "False"),
            Patch("outer_socket", "is_inner(place[0])", "False"),
        ),
        (f"{_SENDERS}nothing_inner_is_reached_by_a_name_that_rebinds",),
    ),
    Mutation(
        "webhook-follows-redirects",
        "An outsider's redirect leads an alert to a service within.",
        (
            Patch(
                "WebhookSender._post",
                "session.post(url, data=body, headers=headers, allow_redirects=False)",
                "session.post(url, data=body, headers=headers)",
            ),
        ),
        (f"{_SENDERS}what_a_receiver_does_wrong_is_a_result",),
    ),
    Mutation(
        "delivery-without-a-stable-id",
        "Each attempt has an id of its own: the receiver takes a repetition for another alert.",
        (
            Patch(
                "WebhookSender.send",
                "_signed(destination, delivery, body)",
                "_signed(destination, delivery._replace(alert_id=str(time.time_ns())), body)",
            ),
        ),
        (f"{_OUTBOX}an_alert_arrives_once_however_often_the_proxy_starts",),
    ),
)
