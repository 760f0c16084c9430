"""Whom a rule stops."""

import pytest

from proxy.policy.alerts.alert_action import stopped_by
from proxy.policy.alerts.measures import AlertReading


@pytest.mark.parametrize(
    ("watch", "scope", "stop"),
    [
        ("limit_share", "user:anna", ("user", "anna")),
        ("limit_share", "group:family", ("group", "family")),
        ("limit_share", "all", ("all", "")),
        ("limit_share", "use_case:sms", None),
        ("spend_rate", "user:a:b", ("user", "a:b")),
        ("repeats", "anna/tok_1", ("token", "tok_1")),
        ("repeats", "a/b/tok_1", ("token", "tok_1")),
    ],
)
def test_what_is_stopped(watch: str, scope: str, stop: tuple[str, str] | None) -> None:
    assert stopped_by(watch, AlertReading(scope, scope, 1.0)) == stop
