"""What a reload changes is told for whom, and no secret with it."""

from typing import Any

import pytest

from proxy.config.changes import changes
from proxy.config.schema import Settings

HASH = "sha256:" + "0f" * 32
BASE: dict[str, Any] = {
    "providers": {"openrouter": {"api_key": "sk-or-v1-canary", "headers": {"X-A": "canary"}}},
    "users": {"anna": {"token_hash": HASH, "limits": {"cost": ["$2/day", "$9/month"]}}},
    "defaults": {"limits": {"cost": "$2/day"}},
    "presets": {"fast": {"targets": ["openai/gpt-5-mini"], "system": "canary"}},
}
CHANGED: list[tuple[str, dict[str, Any], list[str]]] = [
    ("nothing", {}, []),
    ("limit", {"defaults": {"limits": {"cost": "$3/day"}}}, ["defaults.limits.cost: $2/day → $3/day"]),
    (
        "several limits",
        {"users": {"anna": {"token_hash": HASH, "limits": {"cost": "$2/day", "requests": "60/minute"}}}},
        ["users.anna.limits.cost: $2/day, $9/month → $2/day", "users.anna.limits.requests: none → 60/minute"],
    ),
    ("user", {"users": {"bo": {}}}, ["users.anna removed", "users.bo added"]),
    (
        "token",
        {"users": {"anna": {**BASE["users"]["anna"], "token_hash": "sha256:" + "1e" * 32}}},
        ["users.anna.token_hash changed"],
    ),
    (
        "key",
        {"providers": {"openrouter": {"api_key": "sk-or-v1-canary-2", "headers": {"X-A": "canary-2"}}}},
        ["providers.openrouter.headers changed", "providers.openrouter.api_key changed"],
    ),
    (
        "prompt",
        {"presets": {"fast": {"targets": ["openai/gpt-5-mini"], "system": "canary-2"}}},
        ["presets.fast.system changed"],
    ),
    (
        "targets",
        {"presets": {"fast": {"targets": ["openai/gpt-5-mini", "openai/gpt-5"], "system": "canary"}}},
        ["presets.fast.targets: openai/gpt-5-mini → openai/gpt-5-mini, openai/gpt-5"],
    ),
    ("scalar", {"server": {"body_timeout_s": 7}}, ["server.body_timeout_s: 30 → 7"]),
    ("flag", {"quotas": {"on_over_budget": "refuse"}}, ["quotas.on_over_budget: clamp → refuse"]),
    ("admin token", {"admin_token": "canary" * 8}, ["admin_token changed"]),
    ("group", {"groups": {"family": {}}}, ["groups.family added"]),
]


@pytest.mark.parametrize(("more", "told"), [row[1:] for row in CHANGED], ids=[row[0] for row in CHANGED])
def test_changes(more: dict[str, Any], told: list[str]) -> None:
    old, new = Settings.read(BASE), Settings.read({**BASE, **more})
    found = changes(old, new)
    assert sorted(found) == sorted(told)
    assert "canary" not in " ".join(found)
    assert "canary" not in " ".join(changes(new, old))
