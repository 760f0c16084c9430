"""tollkeeper account: one screen of 80 columns, JSON with exact amounts, without and with a management key."""

import json
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.command_line import CommandLine, Commands

MANAGEMENT_KEY = f"sk-or-v1-management-{'0' * 40}"
KEY = "sk-or-v1-canary-key"


def post(url: str, body: Any, key: str = MANAGEMENT_KEY) -> Any:
    answer = httpx.post(url, json=body, headers={"Authorization": f"Bearer {key}"}, timeout=10, trust_env=False)
    assert answer.status_code < 300, answer.text
    return answer.json()


def managed(folder: Path) -> None:
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("api_key:", f"management_key: {MANAGEMENT_KEY}, api_key:"))


def test_one_screen_says_what_is_left(configured: CommandLine, simulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cli = Commands(configured.folder)
    without = cli.ok("account")
    assert "Credits     not known: only a management key may read them." in without.stdout
    assert "providers.openrouter.management_key" in without.stdout
    managed(cli.folder)
    body = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Say something."}]}
    cost = post(f"{simulator}/api/v1/chat/completions", body, KEY)["usage"]["cost"]
    layer = {"scope": "member", "limit_usd": 5, "spend_usd": 5.259, "remaining_usd": -0.259, "include_byok": False}
    layer |= {"reset_interval": "daily", "resets_at": "2026-11-02T00:00:00Z"}
    data = {"label": "sk…", "usage": 12, "budgets": [layer, layer | {"scope": "key_limit", "remaining_usd": 1234.5}]}
    free = {"free_model_daily_requests": {"used": 10, "limit": 1000, "remaining": 990}}
    post(f"{simulator}/_sim/behaviour", {"for": "path:/key", "body": json.dumps({"data": data | free})})
    (account,) = cli.read("account")
    assert account["credits"]["used_usd"] == f"{cost:.11f}".rstrip("0")
    assert (account["keys"][0]["budgets"][0]["left_usd"], account["keys"][0]["kind"]) == ("-0.259", "inference")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    shown = cli.ok("account", "openrouter").stdout
    assert max(map(len, shown.splitlines())) < 80
    assert f"Credits     $999.99 left of $1000.00, ${cost:.11f}".rstrip("0") in shown
    assert "Free models 990 of 1000 requests left today (UTC)" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("main ") and "member's guardrail" in line]
    assert line.split()[-5:] == ["$5.00", "$5.25", "-$0.259", "11-02", "00:00Z"]
    assert "own limit" in shown
    assert MANAGEMENT_KEY not in shown


def test_a_limit_that_makes_no_sense_is_not_known(configured: CommandLine, simulator: str) -> None:
    cli = Commands(configured.folder)
    managed(cli.folder)
    data = {"usage": 12, "limit": "abc", "limit_remaining": [], "limit_reset": "daily", "name": "n", "hash": "a" * 64}
    post(f"{simulator}/_sim/behaviour", {"for": "path:/key", "body": json.dumps({"data": data})})
    post(f"{simulator}/_sim/behaviour", {"for": "path:/keys", "body": json.dumps({"data": [data]})})
    shown = cli.ok("account")
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert ["main", "not", "known", "-", "$12.00"] in [line[:5] for line in lines]
    assert any(line[:2] == ["n", "aaaaaaaa…"] and line[-6:-4] == ["not", "known"] for line in lines), lines
    assert "Key main: limit, limit_remaining: the provider's answer makes no sense, so not known." in shown.stderr


def test_a_provider_that_says_no_is_told_in_words(configured: CommandLine, simulator: str) -> None:
    cli = Commands(configured.folder)
    managed(cli.folder)
    post(f"{simulator}/_sim/behaviour", {"for": "path:/credits", "error": "user-not-found"})
    shown = cli.ok("account")
    words = " ".join(shown.stdout.split())
    assert "not known. openrouter answers 401 (User not found). It does not know the key management" in words
    unknown = cli.run("account", "nobody")
    assert (unknown.returncode, "These do: openrouter" in unknown.stderr) == (1, True)


def test_all_keys_of_the_account_and_its_days_are_shown(configured: CommandLine, simulator: str) -> None:
    cli = Commands(configured.folder)
    alone = cli.run("account", "--activity")
    assert (alone.returncode, alone.stdout, "management_key" in alone.stderr) == (1, "", True)
    managed(cli.folder)
    made = post(f"{simulator}/api/v1/keys", {"name": "laptop", "limit": 50, "limit_reset": "monthly"})
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    created = int(datetime.combine(yesterday, time(9), UTC).timestamp())
    call = {"created": created, "key": made["key"], "charged_pusd": 10**11}
    calls = [
        {**call, "id": f"gen-{created}-{n}", "provider": name} for n, name in enumerate(("OpenAI", "Azure", "Azure"))
    ]
    calls[2]["upstream_pusd"] = 5 * 10**10
    post(f"{simulator}/_sim/past", {"generations": calls})
    (account,) = cli.read("account")
    assert [key["hash"] for key in account["account_keys"]] == [made["data"]["hash"]]
    shown = cli.ok("account").stdout
    (line,) = [line for line in shown.splitlines() if line.startswith("laptop")]
    head = f"laptop {made['data']['hash'][:8]}… - $50.00 monthly $0.25"
    assert " ".join(line.split()).startswith(head)
    assert line.split()[-2:] == ["in", "use"]
    days = cli.ok("account", "--activity", "--days", "2").stdout.splitlines()
    assert [line.split() for line in days[1:]] == [
        [yesterday.isoformat(), "openai/gpt-4o-mini", "$0.25", "$0.05", "3", "30", "30"]
    ]
    assert max(map(len, (*shown.splitlines(), *days))) <= 80
    rows = cli.read("account", "openrouter", "--activity")
    assert sorted((row["provider_name"], row["spent_pusd"]) for row in rows) == [
        ("Azure", 15 * 10**10),
        ("OpenAI", 10**11),
    ]
    post(f"{simulator}/_sim/behaviour", {"for": "path:/activity", "error": "management-only"})
    failed = cli.run("account", "--activity")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.count("Only a management key may") == 1
