"""tollkeeper explain as a process: a running proxy and the files alone give the same answer."""

import json
import re
import time
from typing import Any

import pytest

from tests.cli.command_line import CommandLine

MODEL = "openai/gpt-4o-mini"


@pytest.fixture
def limited(configured: CommandLine) -> CommandLine:
    config = configured.folder / "config.yaml"
    config.write_text(
        config.read_text().replace("groups: {family: {}}", "groups: {family: {limits: {cost: $50/month}}}")
        + "presets: {house: [openai/gpt-4o-mini, 'meta-llama/llama-3.3-70b-instruct:free']}\n"
        "defaults: {limits: {cost: $2/day, requests: 60/minute}}\n"
    )
    return configured


def priced(cli: CommandLine) -> None:
    """Run the proxy until the list of prices is on disk."""
    with cli.serving():
        deadline_s = time.monotonic() + 20
        while not list(cli.folder.glob("*.models-openrouter.json")):
            assert time.monotonic() < deadline_s, "no list came"
            time.sleep(0.02)


def told(cli: CommandLine, *arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(cli.ok("explain", *arguments, "--json").stdout)
    for limit in document["limits"]:
        limit.pop("resets_at")  # the minute may end between two calls
    return document


def test_with_and_without_a_proxy(limited: CommandLine) -> None:
    priced(limited)
    calls = [
        (MODEL,),
        (MODEL, "--user", "anna"),
        (MODEL, "--user", "anna", "--max-tokens", "7"),
        ("house", "--user", "anna"),
        ("maker/unknown", "--user", "anna"),
    ]
    alone = [told(limited, *call) for call in calls]
    with limited.serving():
        beside = [told(limited, *call) for call in calls]
    assert alone == beside
    nobody, anna, short, house, unknown = beside
    (target,) = nobody["targets"]
    assert (target["provider"], target["model"], target["chosen"]) == ("openrouter", MODEL, True)
    assert [limit["scope"] for limit in nobody["limits"]] == ["user:", "user:"]
    assert {limit["scope"] for limit in anna["limits"]} == {"user:anna", "group:family"}
    assert 0 < short["worst_case_pusd"] < anna["worst_case_pusd"] <= 2 * 10**12
    assert short["max_tokens"] == 7
    assert len(house["targets"]) == 2
    assert (unknown["admitted"], unknown["refusal"]["code"]) == (False, "price_unknown")


def test_nothing_is_held_or_booked(limited: CommandLine) -> None:
    with limited.serving():
        first = told(limited, MODEL, "--user", "anna")
        second = told(limited, MODEL, "--user", "anna")
    assert first["limits"] == second["limits"]
    assert all(limit["used"] in (0, "0") and limit["reserved"] in (0, "0") for limit in second["limits"])
    assert limited.read("usage")["total"]["requests"] == 0


def test_a_user_of_the_database(limited: CommandLine) -> None:
    limited.ok("users", "add", "bob", "--group", "family")
    priced(limited)
    alone = told(limited, MODEL, "--user", "bob")
    with limited.serving():
        assert told(limited, MODEL, "--user", "bob") == alone
    assert {limit["scope"] for limit in alone["limits"]} == {"user:bob", "group:family"}


def test_for_people(limited: CommandLine) -> None:
    priced(limited)
    ran = limited.ok("explain", "house", "--user", "anna")
    lines = ran.stdout.splitlines()
    first, second = lines[:2]
    assert re.fullmatch(r"Route       1\. openai/gpt-4o-mini at openrouter \(asked first; \$0\.[0-9]+.*\)", first)
    assert second.split()[:4] == ["2.", "meta-llama/llama-3.3-70b-instruct:free", "at", "openrouter"]
    assert second.split()[4].startswith("($0")
    assert any(line.startswith("Worst case  $") for line in lines)
    assert "Verdict     would be accepted" in lines
    assert any(line.split()[:3] == ["user:anna", "cost", "day"] for line in lines)
    assert "No proxy runs" in ran.stderr


def test_messages(limited: CommandLine) -> None:
    priced(limited)
    long = json.dumps([{"role": "user", "content": "x" * 5000}])
    (limited.folder / "long.json").write_text(long)
    (limited.folder / "body.json").write_text(
        json.dumps({"model": "other", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]})
    )
    short = told(limited, MODEL, "--max-tokens", "9")
    from_file = told(limited, MODEL, "--max-tokens", "9", "--messages", "long.json")
    ran = limited.run("explain", MODEL, "--max-tokens", "9", "--messages", "-", "--json", stdin=long)
    assert json.loads(ran.stdout)["worst_case_pusd"] == from_file["worst_case_pusd"] > short["worst_case_pusd"]
    body = told(limited, MODEL, "--messages", "body.json")
    assert (body["requested_model"], body["max_tokens"]) == (MODEL, 9)


@pytest.mark.parametrize("running", [False, True])
def test_mistakes(limited: CommandLine, running: bool) -> None:
    (limited.folder / "bad.json").write_text("{")
    (limited.folder / "text.json").write_text('"text"')
    (limited.folder / "odd.json").write_text('{"messages": 7}')
    config = limited.folder / "config.yaml"
    config.write_text(config.read_text().replace("group: family}", "group: family, models: [house]}"))

    def try_all() -> None:
        for arguments, code, text in (
            ((MODEL, "--user", "zoe"), 1, "zoe"),
            ((MODEL, "--user", "anna"), 1, "may use: house"),
            ((MODEL, "--messages", "bad.json"), 2, "not valid JSON"),
            ((MODEL, "--messages", "text.json"), 2, "list of messages"),
            ((MODEL, "--messages", "odd.json"), 1, "messages"),
            ((MODEL, "--max-tokens", "0"), 2, "max-tokens"),
        ):
            ran = limited.run("explain", *arguments)
            assert ran.returncode == code, (arguments, ran.stderr)
            assert text in ran.stderr, (arguments, ran.stderr)
            assert "Traceback" not in ran.stderr

    if running:
        with limited.serving():
            try_all()
    else:
        try_all()
