"""Settings of alerts: what is refused, with the line, and what is never shown."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config.alerts import AlertRule
from proxy.config.load import LoadedConfig, load_file
from proxy.config.show import as_json
from proxy.core.alert_kinds import ALERT_KINDS
from proxy.core.errors import ConfigError

HOOK = "https://hooks.example.com/services/T000/canary-of-the-url"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def load(folder: Path, **alerts: Any) -> LoadedConfig:
    path = folder / "config.yaml"
    content = {"providers": {"openrouter": {"api_key": "sk-or-v1-0123456789"}}, "alerts": alerts}
    path.write_text(yaml.safe_dump(content))
    path.chmod(0o600)
    return load_file(path, {})


@pytest.mark.parametrize("kind", ALERT_KINDS, ids=lambda kind: kind.name)
def test_each_kind_works_with_its_name_alone(tmp_path: Path, kind: Any) -> None:
    rule = load(tmp_path, rules={"one": {"watch": kind.name}}).settings.alerts.rules["one"]
    assert rule.levels == kind.at
    assert rule.span_s == (kind.window_s or 0)


@pytest.mark.parametrize(
    ("watch", "at", "levels"),
    [
        ("limit_share", ["80%", 100], (80, 100)),
        ("latency_p95", "30s", (30,)),
        ("latency_p95", 0.5, (0.5,)),
        ("disk_free", "2GB", (2e9,)),
        ("repeats", 20, (20,)),
        ("credits_low", ["$20", 5, "$0.50"], (20, 5, 0.5)),
    ],
)
def test_thresholds_in_the_unit_of_their_kind(watch: str, at: Any, levels: tuple[float, ...]) -> None:
    assert AlertRule.read({"watch": watch, "at": at}).levels == levels


WRONG_RULES: list[tuple[dict[str, Any], str]] = [
    ({}, "watch"),
    ({"watch": "weather"}, "must be"),
    ({"watch": "credits_high"}, "must be"),
    ({"watch": "credits_low", "at": "20%"}, "must be a threshold like $20"),
    ({"watch": "disk_free", "at": "$20"}, "must be a threshold like 2GB"),
    ({"watch": "credits_low", "at": "$2GB"}, "must be a threshold like $20"),
    ({"watch": "limit_share", "at": "5GB"}, "must be a threshold like 80%"),
    ({"watch": "limit_share", "at": "0%"}, "must be a threshold like 80%"),
    ({"watch": "provider_down", "at": 1}, "does not go with watch: provider_down"),
    ({"watch": "provider_down", "window_s": 60}, "It goes with spend_rate"),
    ({"watch": "error_rate", "window_s": 7200}, "must be at most 3600"),
    ({"watch": "error_rate", "min_usd": 1}, "It goes with spend_rate."),
    ({"watch": "limit_share", "limits": "concurrency"}, "is not a kind of limit"),
    ({"watch": "disk_free", "to": "nobody"}, 'there is no destination "nobody"'),
    ({"watch": "disk_free", "action": "stop"}, "What cannot be written is refused by itself. It goes with limit_share"),
    ({"watch": "disk_free", "action": "warn"}, "does not go with watch: disk_free"),
    ({"watch": "disk_free", "stop_for_s": 60}, "does not go with watch: disk_free"),
    ({"watch": "provider_down", "action": {"downgrade": "cheap"}}, "Its breaker keeps requests away by itself"),
    ({"watch": "model_gone", "action": "slow"}, "slow does not go with watch: model_gone"),
    ({"watch": "error_rate", "action": "slow", "scope": "all"}, "slow needs a provider"),
    ({"watch": "limit_share", "action": "halve"}, "must be warn, stop, slow or a downgrade"),
    ({"watch": "limit_share", "action": "refuse"}, "must be warn, stop, slow or a downgrade"),
    ({"watch": "limit_share", "action": {"slow": "1000/minute"}}, "must be 1 to 600 requests a minute"),
    ({"watch": "limit_share", "action": "downgrade"}, "must name a preset"),
    ({"watch": "limit_share", "action": {"downgrade": "nowhere"}}, 'there is no preset "nowhere"'),
    ({"watch": "limit_share", "stop_for_s": 60}, "goes with action: stop, slow or downgrade"),
    ({"watch": "limit_share", "action": "stop", "scope": "use_case:sms"}, "a use case cannot be stopped"),
    ({"watch": "forecast", "action": "slow", "scope": "use_case:sms"}, "a use case cannot be slowed"),
]


@pytest.mark.parametrize(("rule", "text"), WRONG_RULES, ids=str)
def test_a_wrong_rule_is_refused_by_name(tmp_path: Path, rule: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, rules={"one": rule})
    assert text in str(caught.value)
    assert "alerts.rules.one" in str(caught.value)


WRONG_DESTINATIONS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "pigeon"}, "must be"),
    ({"kind": "slack"}, "is missing for kind: slack"),
    ({"kind": "slack", "url": "ftp://x"}, "must be a URL"),
    ({"kind": "slack", "url": "http://hooks.example.com/"}, "is not encrypted"),
    ({"kind": "slack", "url": "https://anna:pw@hooks.example.com/"}, "must not hold a user or password"),
    ({"kind": "slack", "url": "https://169.254.169.254/latest"}, "leads to an address of this machine or network"),
    ({"kind": "slack", "url": "https://0x7f.1/"}, "leads to an address of this machine or network"),
    ({"kind": "slack", "url": HOOK, "secret": SECRET}, "does not go with kind: slack"),
    ({"kind": "webhook", "url": HOOK, "secret": "whsec_canary"}, "must"),
    ({"kind": "email", "host": "smtp.example.com", "sender": "a@b.c"}, "is missing for kind: email"),
    (
        {"kind": "email", "host": "h.example.com", "sender": "a@b.c", "recipients": "a@b.c", "tls": "none"},
        "unencrypted",
    ),
    (
        {"kind": "email", "host": "h.example.com", "sender": "a@b.c", "recipients": "a@b.c", "password": "canary"},
        "Set both",
    ),
    ({"kind": "email", "host": "localhost", "sender": "a@b.c", "recipients": "a@b.c"}, "is an address of this machine"),
    ({"kind": "command"}, "is missing for kind: command"),
]


@pytest.mark.parametrize(("one", "text"), WRONG_DESTINATIONS, ids=str)
def test_a_wrong_destination_is_refused_and_no_secret_is_shown(tmp_path: Path, one: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, destinations={"one": one})
    assert text in str(caught.value)
    assert "alerts.destinations.one" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_what_is_secret_is_shown_nowhere(tmp_path: Path) -> None:
    hook = {"kind": "webhook", "url": HOOK, "secret": SECRET}
    loaded = load(tmp_path, destinations={"one": hook})
    shown = str(as_json(loaded))
    assert HOOK not in shown
    assert SECRET not in shown
    assert HOOK not in repr(loaded.settings)


def test_the_log_is_no_name_for_another_destination(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is the log itself"):
        load(tmp_path, destinations={"log": {"kind": "slack", "url": HOOK}})


@pytest.mark.parametrize("hour", ["7", "24:00", 1320])
def test_a_wrong_time_of_day(tmp_path: Path, hour: Any) -> None:
    with pytest.raises(ConfigError, match="must be a time of day"):
        load(tmp_path, quiet_hours={"starts": hour, "ends": "07:00"})
