"""Limits on sets of models, groups within groups, and what follows when a limit is spent: as a file writes them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config.limit import Limit, as_setting, parse_limit, written
from proxy.config.load import load_file
from proxy.config.schema import Settings
from proxy.config.user import Limits
from proxy.core.errors import ConfigError
from proxy.core.on_spent import REFUSE, OnSpent

BASE: dict[str, Any] = {
    "providers": {"openrouter": {"api_key": "sk-or-v1-0123456789abcdef"}},
    "presets": {"cheap": ["openai/gpt-5-nano"], "dear": ["anthropic/claude-opus-4"]},
}
FIVE = 5 * 10**12


def load(tmp_path: Path, **more: Any) -> Settings:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**BASE, **more}, sort_keys=False), encoding="utf-8")
    path.chmod(0o600)
    return load_file(path, {}).settings


@pytest.mark.parametrize(
    "limits",
    [
        [{"cost": "$5/month", "models": ["anthropic/*"]}, {"requests": "60/minute"}],
        [{"cost": {"amount": "$5", "window": "month"}, "models": "anthropic/*"}, {"requests": ["60/minute"]}],
        {"cost": {"amount": "$5", "window": "month", "models": ["anthropic/*"]}, "requests": "60/minute"},
        {"cost": [{"amount": 5, "window": "month", "models": ["anthropic/*", "anthropic/*"]}], "requests": "60/minute"},
    ],
)
def test_a_list_of_entries_says_what_the_long_form_says(tmp_path: Path, limits: Any) -> None:
    found = load(tmp_path, limits=limits).limits
    assert found.all == (
        Limit("cost", FIVE, "month", models=("anthropic/*",)),
        Limit("requests", 60, "minute"),
    )


@pytest.mark.parametrize(
    ("on_spent", "expected"),
    [
        ("refuse", REFUSE),
        ({"downgrade": "cheap"}, OnSpent("downgrade", "cheap")),
        ("downgrade: cheap", OnSpent("downgrade", "cheap")),
        ("downgrade:cheap", OnSpent("downgrade", "cheap")),
        ("slow", OnSpent("slow", a_minute=6)),
        ({"slow": "2/minute"}, OnSpent("slow", a_minute=2)),
        ({"slow": 30}, OnSpent("slow", a_minute=30)),
    ],
)
def test_what_follows(tmp_path: Path, on_spent: Any, expected: OnSpent) -> None:
    limits = [{"cost": "$5/day", "mode": "soft", "on_spent": on_spent}]
    (found,) = load(tmp_path, limits=limits).limits.all
    assert found.on_spent == expected
    again = parse_limit("cost", as_setting(found))
    assert again == found
    assert Limits.read({"cost": [as_setting(found)]}).all == (found,)


def test_a_limit_is_told_with_its_terms() -> None:
    limit = Limit("cost", FIVE, "month", "soft", ("anthropic/*", "openai/o*"), OnSpent("downgrade", "cheap"))
    assert written(limit) == "$5/month (soft) for anthropic/*, openai/o*, then downgrade: cheap"
    assert parse_limit("cost", as_setting(limit)) == limit


@pytest.mark.parametrize(
    ("more", "path", "text"),
    [
        ({"limits": [{"cost": "$5/day", "on_spent": "slow"}]}, "limits[0].on_spent", "needs mode: soft"),
        (
            {"limits": [{"requests": "5/day", "mode": "soft", "on_spent": "slow"}]},
            "limits[0].on_spent",
            "cost or tokens",
        ),
        ({"limits": [{"cost": "$5/day", "on_spent": "wait"}]}, "limits[0].on_spent", "must be refuse, slow or"),
        ({"limits": [{"cost": "$5/day", "on_spent": "downgrade"}]}, "limits[0].on_spent", "must name a preset"),
        ({"limits": [{"cost": "$5/day", "on_spent": {"downgrade": "chep"}}]}, "limits[0].on_spent", '"cheap"?'),
        (
            {"limits": [{"cost": "$5/day", "models": ["anthropic/*"], "on_spent": {"downgrade": "dear"}}]},
            "limits[0].on_spent",
            'all targets of preset "dear" count in this limit too',
        ),
        ({"limits": [{"cost": "$5/day", "models": ["cheap"]}]}, "limits[0].models", '"cheap" is a preset'),
        ({"limits": [{"cost": "$5/day", "models": []}]}, "limits[0].models", "must be a list of models"),
        ({"limits": [{"cost": "$5/day", "model": "a"}]}, "limits[0].model", 'Did you mean "models"?'),
        ({"limits": [{"models": ["a/*"]}]}, "limits[0]", "must have one of cost, tokens"),
        ({"limits": [{"cost": "$5/day", "tokens": "1M/day"}]}, "limits[0]", "an entry for each limit"),
        ({"limits": ["$5/day"]}, "limits[0]", "must be a limit like"),
        ({"limits": [{"cost": "$5/day", "models": ["a"]}] * 2}, "limits", "has two limits over day for a"),
        (
            {"groups": {"a": {"parent": "b"}, "b": {"parent": "c"}, "c": {"parent": "a"}}},
            "groups.a.parent",
            'group "a" is above itself: a → b → c → a.',
        ),
        (
            {"groups": {"a": {"parent": "bb"}, "bbb": {}}},
            "groups.a.parent",
            'there is no group "bb". Did you mean "bbb"?',
        ),
        (
            {
                "presets": {
                    name: {
                        "targets": ["openai/gpt-5-nano"],
                        "use_case": name,
                        "limits": [{"cost": "$1/day", "on_spent": {"downgrade": other}}],
                    }
                    for name, other in (("one", "two"), ("two", "one"))
                }
            },
            "presets.one.limits",
            "downgrades lead back here: one → two → one.",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, more: dict[str, Any], path: str, text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, **more)
    told = str(raised.value)
    assert f"  {path}" in told
    assert text in told
    assert "config.yaml:" in told


def test_a_key_of_a_provider_takes_plain_limits(tmp_path: Path) -> None:
    keys: list[dict[str, Any]] = [{"name": "a", "api_key": "sk-1", "limits": [{"cost": "$5/day"}]}]
    provider = load(tmp_path, providers={"openrouter": {"keys": keys}}).providers["openrouter"]
    assert provider.keys[0].limits.all == (Limit("cost", FIVE, "day"),)
    keys[0]["limits"] = {"cost": {"amount": "$5", "window": "day", "models": ["a"]}}
    with pytest.raises(ConfigError, match="amount, window and mode alone"):
        load(tmp_path, providers={"openrouter": {"keys": keys}})
