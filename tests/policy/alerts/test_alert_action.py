"""Whom a rule acts on."""

import pytest

from proxy.core.alert_kinds import ALERT_KINDS_BY_NAME
from proxy.policy.alerts.alert_action import acted_on
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
        ("error_rate", "openrouter", ("provider", "openrouter")),
        ("error_rate", "all", None),
        ("price_moved", "openrouter/openai/gpt-5-mini", ("model", "openrouter/openai/gpt-5-mini")),
        ("model_gone", "own/a[1]*", ("model", "own/a[[]1][*]")),
    ],
)
def test_what_is_acted_on(watch: str, scope: str, stop: tuple[str, str] | None) -> None:
    assert acted_on(ALERT_KINDS_BY_NAME[watch], AlertReading(scope, scope, 1.0)) == stop
