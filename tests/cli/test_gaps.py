"""What a configuration leaves open is asked for by init, and told by check and serve."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from proxy.config.load import load_file
from proxy.config.overlay import StoredSettings, lay_over
from proxy.config.schema import Settings
from proxy.pipeline.admission.missing_limits import find_missing_limits
from tests.cli.command_line import CommandLine

KEY = "sk-or-v1-canary"
HASH = "sha256:" + "0f" * 32
OPENROUTER = {"openrouter": {"api_key": KEY}}


def gaps(stored: list[str], **more: object) -> list[str]:
    rows: list[dict[str, Any]] = [
        {"name": name, "group": None, "settings": {}, "disabled": False, "made_by": None} for name in stored
    ]
    tokens = [{"user": name, "trusted": False} for name in stored]
    return [
        gap.text
        for gap in find_missing_limits(
            lay_over(Settings.read({"providers": OPENROUTER, **more}), StoredSettings(rows)), rows, tokens
        )
    ]


def test_nobody_has_a_limit() -> None:
    anna = {"anna": {"token_hash": HASH}}
    cases: tuple[dict[str, object], ...] = (
        {},
        {"defaults": {"limits": {"requests": "60/minute"}}},
        {"limits": {"cost": {"amount": "$5", "window": "day", "mode": "soft"}}},
        {"limits": [{"cost": "$5/day", "models": ["anthropic/*"]}]},  # the others cost money too
    )
    for more in cases:
        (text,) = gaps(["bo"], users=anna, **more)
        assert "Nobody has a hard cost limit" in text


def test_somebody_has_none() -> None:
    users = {"anna": {"token_hash": HASH, "limits": {"cost": "$5/day"}}}
    assert gaps(["bo"], users=users) == ["No hard cost limit applies to bo."]
    assert gaps(["bo"], users=users, limits={"cost": "$9/day"}) == []
    assert gaps(["bo"], users=users, defaults={"limits": {"cost": "$9/day"}}) == []


def test_own_servers_cost_nothing() -> None:
    local = {
        "local": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "prices": {"*": {"input": 0, "output": 0}}}
    }
    assert gaps(["bo"], providers=local) == []


def test_limits_that_hold_for_nobody() -> None:
    limits = {"limits": {"cost": "$5/day"}}
    more = {"users": {"boo": limits}, **limits}
    (text,) = gaps(["bo"], **more)
    assert "users.boo has no token" in text
    assert 'Did you mean "bo"?' in text
    assert gaps(["boo"], **more) == []
    assert gaps(["bo"], **{**more, "end_users": {"jwt_secret": "x" * 32}}) == []


def warnings(cli: CommandLine, *options: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(cli.run("check", "--json", *options).stdout)
    return [line for line in found if line["state"] != "ok"]


def test_check_and_serve_say_so(configured: CommandLine) -> None:
    told = [line["name"] for line in warnings(configured, "--offline")]
    assert told == ["limits"]
    with configured.serving():
        assert "Nobody has a hard cost limit" in configured.said()
        configured.ok("users", "add", "bo", "--limit", "$5/day")
    config = configured.folder / "config.yaml"
    config.write_text(config.read_text() + "limits: {cost: $5/day}\n")
    assert warnings(configured, "--offline") == []
    with configured.serving():
        assert "hard cost limit" not in configured.said()


PRESETS = """
presets:
  good: [openai/gpt-5-mini, anthropic/claude-haiku-4.5]
  half: [openai/gpt-5-mini, openai/gpt5-mini]
  lost: [opnrouter/openai/gpt-5-mini]
limits: {cost: $5/day}
defaults: {models: [good, half, lost, openai/gpt-5-minj, "openai/*"]}
"""


def test_check_compares_names_with_what_the_providers_list(configured: CommandLine) -> None:
    config = configured.folder / "config.yaml"
    config.write_text(config.read_text() + PRESETS)
    found = {line["text"].partition(":")[0]: line for line in warnings(configured) if line["name"] == "models"}
    assert set(found) == {"presets.half", "presets.lost", "defaults.models"}
    assert found["presets.half"]["state"] == "warn"
    assert found["presets.lost"]["state"] == "fail"
    assert 'Did you mean "openrouter/openai/gpt-5-mini"?' in found["presets.lost"]["text"]
    for name in ("presets.half", "defaults.models"):
        assert 'Did you mean "openai/gpt-5-mini"?' in found[name]["text"]
    assert configured.run("check").returncode == 1
    assert not [line for line in warnings(configured, "--offline") if line["name"] == "models"]
    assert not list(configured.folder.glob("*.models-*"))


@pytest.mark.parametrize(
    ("options", "user", "total"),
    [
        ((), "$5/day", "$100/month"),
        (("--user-limit", "2", "--total-limit", "none"), "$2/day", None),
        (("--user-limit", "none", "--total-limit", "$50/week"), None, "$50/week"),
    ],
)
def test_init_writes_limits(cli: CommandLine, options: tuple[str, ...], user: str | None, total: str | None) -> None:
    ran = cli.ok("init", "--no-test", "--yes", *options, OPENROUTER_API_KEY=KEY)
    settings = load_file(cli.folder / "config.yaml", {"OPENROUTER_API_KEY": KEY}).settings
    for limits, text in ((settings.defaults.limits, user), (settings.limits, total)):
        assert [f"${limit.amount // 10**12}/{limit.window}" for limit in limits.of("cost")] == ([text] if text else [])
    assert (user or "without a limit") in ran.stderr


def test_init_refuses_what_is_no_limit(cli: CommandLine) -> None:
    ran = cli.run("init", "--no-test", "--yes", "--user-limit", "lots", OPENROUTER_API_KEY=KEY)
    assert ran.returncode == 2
    assert "$5/day" in ran.stderr
    assert list(cli.folder.iterdir()) == []


def test_init_asks_on_a_terminal(cli: CommandLine) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", "init", "--no-test", "--key-file", _key_file(cli.folder)],
        cwd=cli.folder,
        env={**cli.environ, "TERM": "dumb"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = _until(master, b"each user may spend")
    os.write(master, b"lots\n")
    shown += _until(master, b"each user may spend")
    os.write(master, b"3\n")
    shown += _until(master, b"together")
    os.write(master, b"\n")
    _until(master, b"tollkeeper serve")
    assert process.wait(60) == 0
    os.close(master)
    settings = load_file(cli.folder / "config.yaml", {}).settings
    assert [limit.amount for limit in settings.defaults.limits.of("cost")] == [3 * 10**12]
    assert [limit.amount for limit in settings.limits.of("cost")] == [100 * 10**12]


def _key_file(folder: Path) -> str:
    path = folder / "key"
    path.write_text(KEY)
    return str(path)


def _until(master: int, text: bytes) -> bytes:
    shown, deadline_s = b"", time.monotonic() + 60
    while text not in shown:
        assert time.monotonic() < deadline_s, shown
        if select.select([master], [], [], 1)[0]:
            shown += os.read(master, 4096)
    return shown
