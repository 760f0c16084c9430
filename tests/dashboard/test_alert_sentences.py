"""What rules and alerts say on their page: sentences for every kind, without the configuration's words."""

from typing import Literal

import pytest

from proxy.core.alert_kinds import ALERT_KINDS, AlertKind
from proxy.policy.alerts.measures import limit_subject
from proxy.policy.quota import LimitRow
from proxy.web.dashboard.alert_sentences import firing_sentence, other_settings, rule_sentences, subject_words


@pytest.mark.parametrize("kind", ALERT_KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_sentences(kind: AlertKind) -> None:
    told = rule_sentences({"watch": kind.name})
    assert told.startswith(f"Watches {kind.measure}")
    assert told.endswith(".")
    assert ".." not in told
    assert kind.unit == "state" or "It tells at " in told
    fires = firing_sentence(kind.name, kind.example, 1.0)
    assert not fires[0].islower()
    assert fires.endswith(".")
    assert kind.name not in fires
    assert "has fired before the last start" in firing_sentence(kind.name, kind.example, None)


def test_a_rule_says_when_it_tells_and_whom() -> None:
    settings = {
        "watch": "error_rate",
        "scope": ["openrouter", "openai"],
        "at": ["10%", "30%"],
        "window_s": 600,
        "to": ["team", "log"],
        "min_requests": 5,
        "action": {"slow": "6/minute"},
        "urgent": True,
    }
    assert rule_sentences(settings) == (
        "Watches requests that were answered with 500 or above, of all within the window (the last 10 minutes), of"
        " openrouter and openai. It tells at 10% and 30%. It goes to team and log."
    )
    assert other_settings(settings) == "min_requests 5, action slow 6/minute, urgent yes"
    assert rule_sentences({"watch": "credits_low", "at": "$5"}).endswith("It tells at $5 or less.")


@pytest.mark.parametrize(
    ("scope", "kind", "window", "mode", "models", "words"),
    [
        ("user:anna", "cost", "day", "hard", (), "the limit on cost of user anna for a day"),
        ("all", "tokens", "30d", "hard", (), "the limit on tokens of everyone together for 30 days"),
        ("use_case:night run", "requests", "minute", "soft", ("a/b", "c/*"), ""),
        ("group:lab", "cost", "total", "hard", (), "the limit on cost of group lab for all time"),
        ("group:lab", "concurrency", "", "hard", (), "the limit on concurrency of group lab"),
    ],
)
def test_a_limit_is_named_in_words(
    scope: str, kind: str, window: str, mode: Literal["hard", "soft"], models: tuple[str, ...], words: str
) -> None:
    row = LimitRow(scope, kind, window, mode, 10, 1, 0, 9, None, models)
    soft = "the limit that only slows on requests of use case night run for a minute, of a/b, c/*"
    assert subject_words(limit_subject(row)) == (words or soft)


def test_what_is_no_limit_keeps_its_name() -> None:
    for name in ("openrouter/openai/gpt-5-mini", "anna/tok_0123456789ab", "disk", "user x cost", "a cost model"):
        assert subject_words(name) == name
