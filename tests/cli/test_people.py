"""Colleagues, teams and limits from the command line, while an SDK asks and while nothing runs."""

import os
import pty
import subprocess
import sys

import openai

from proxy.core.user_token import is_well_formed
from tests.cli.command_line import CommandLine, Commands

MODEL = "openai/gpt-4o-mini"


def ask(client: openai.OpenAI, model: str = MODEL) -> str:
    """Return an answer, or the code of the refusal."""
    try:
        done = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Hej"}], max_tokens=50, timeout=30
        )
    except openai.APIStatusError as error:
        return str(error.code)
    return done.choices[0].message.content or ""


def test_a_colleague_added_by_one_command_spends_is_refused_is_raised_and_goes_on(configured: CommandLine) -> None:
    cli = configured
    with cli.serving():
        options = ("--models", "openai/*", "--group", "team", "--expires", "30d", "--default-model", MODEL)
        ran = cli.ok("users", "add", "bo", "--limit", "$0.0001/day", "--limit", "100/hour", *options)
        token = ran.stdout.strip()
        assert is_well_formed(token)
        assert token not in ran.stderr
        for part in (
            "Base URL: ",
            "You may use $0.0001/day, requests=100/hour. Models: openai/*.",
            "there is no group",
        ):
            assert part in ran.stderr
        with openai.OpenAI(base_url=f"{cli.base_url()}", api_key=token, max_retries=0) as client:
            answers = [ask(client)]
            while answers[-1] != "insufficient_quota":
                answers.append(ask(client))
                assert len(answers) < 100
            assert ask(client, "google/gemini-2.5-flash") == "model_not_allowed"
            cli.ok("limits", "set", "$5/day", "--user", "bo")
            assert ask(client) not in ("", "insufficient_quota")
            assert ask(client, "") not in ("", "model_required")  # the default
            (cost,) = [each for each in cli.read("users", "show", "bo")["limits"] if each["kind"] == "cost"]
            assert cost["used_pusd"] > 0
            assert cost["used_pusd"] + cost["reserved_pusd"] + cost["remaining_pusd"] == 5 * 10**12
            cli.ok("users", "disable", "bo")
            assert ask(client) == "token_disabled"
    shown = cli.read("users", "list")  # nothing runs: the ledger tells the same
    (bo,) = [user for user in shown if user["name"] == "bo"]
    (again,) = [each for each in bo["limits"] if each["kind"] == "cost"]
    assert (again["used_pusd"], again["resets_at"], bo["disabled"]) == (cost["used_pusd"], cost["resets_at"], True)


def typed(cli: CommandLine, answer: str, *arguments: str) -> tuple[int, str]:
    """Run a command on a terminal and answer its question; return the exit code and what was shown."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", *arguments],
        cwd=cli.folder,
        env={**cli.environ, "TERM": "dumb"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    os.write(master, f"{answer}\n".encode())
    code, shown = process.wait(60), os.read(master, 65536).decode()
    os.close(master)
    return code, shown


def test_a_user_is_removed_after_a_question(cli: CommandLine, commands: Commands) -> None:
    commands.ok("users", "add", "bo")
    code, shown = typed(cli, "n", "users", "remove", "bo")
    assert (code, "Remove bo with 1 token?" in shown) == (1, True)
    assert settings_of(commands, "users", "bo") == {}
    assert "was removed" in commands.ok("users", "remove", "bo").stderr  # nobody to be asked


def settings_of(commands: Commands, noun: str, name: str) -> object:
    found = commands.read(noun, "show", name)
    assert isinstance(found, dict)
    return found["settings"]


def test_every_setting_is_set_and_removed(commands: Commands) -> None:
    commands.ok("users", "add", "bo", "--no-token")
    cases = (
        ("max_tokens", ("--max-tokens", "7"), 7),
        ("models", ("--models", "a/*,b", "--models", "c"), ["a/*", "b", "c"]),
        ("default_model", ("--default-model", "m"), "m"),
        ("default_preset", ("--default-preset", "texts", "--no-default-model"), "texts"),
        ("parameters", ("--parameter", "temperature=0", "--parameter", "user=x"), {"temperature": 0, "user": "x"}),
        ("fallback", ("--fallback", "off"), False),
        ("cheapest", ("--cheapest", "on"), True),
        ("use_cases", ("--use-case", "sms=texts"), {"sms": "texts"}),
        ("preferences", ("--preferences", "on"), True),
        (
            "limits",
            ("--limit", "60/min", "--limit", "tokens=1M/day"),
            {"tokens": ["1000000/day"], "requests": ["60/minute"]},
        ),
    )
    every = [option for _, options, _ in cases[:2] for option in options]
    commands.ok("users", "set", "bo", *every, "--default-model", "m", "--expires", "2999-01-31")
    for _, options, _ in cases[3:]:
        every += options
    commands.ok("users", "set", "bo", *every)
    commands.ok("groups", "add", "team", *[option for _, options, _ in cases[4:] for option in options])
    expected = {name: value for name, _, value in cases if name != "default_model"}
    assert settings_of(commands, "users", "bo") == {**expected, "expires_at": "2999-01-31T00:00:00Z"}
    names = ("max_tokens", "models", "default_preset")
    assert settings_of(commands, "groups", "team") == {
        name: value for name, value in expected.items() if name not in names
    }
    removals = [f"--no-{name.replace('_', '-')}" for name in expected]
    commands.ok("users", "set", "bo", *removals, "--no-expiry")
    commands.ok("groups", "set", "team", *removals)
    assert settings_of(commands, "users", "bo") == settings_of(commands, "groups", "team") == {}


def test_limits_are_added_listed_changed_and_removed(commands: Commands) -> None:
    commands.ok("limits", "add", "$2/day", "--each-user")
    commands.ok("users", "add", "bo", "--no-token")
    said = commands.ok("limits", "add", "$20.000000000001/month", "--user", "bo").stderr
    assert "Note: $2/day of each user no longer holds for bo" in said
    commands.ok("limits", "add", "$200/month")
    commands.ok("limits", "add", "100/hour", "--group", "family")
    commands.ok("limits", "add", "tokens=1M/day", "--use-case", "nightly", "--soft")
    commands.ok("limits", "add", "$5/month", "--user", "anna", "--model", "anthropic/*")
    lines = [" ".join(row.split()) for row in commands.ok("limits", "list").stdout.splitlines()]
    for line in (
        "all $200/month $0 $0 $200 ",
        "each user $2/day - - - - database",
        "user bo $20.000000000001/month $0 $0 $20.000000000001 ",
        "user anna $5/day $0 $0 $5 ",
        "user anna $5/month for anthropic/* $0 ",
        "group family requests=100/hour 0 0 100 ",
        "use case nightly tokens=1000000/day (soft) 0 0 1000000 ",
    ):
        assert [row for row in lines if row.startswith(line)], (line, lines)
    commands.ok("users", "set", "bo", "--group", "family")
    shown = [row.split("  ")[0] for row in commands.ok("users", "show", "bo").stdout.partition("whom")[2].splitlines()]
    assert shown[1:] == ["user bo", "group family", "all"]
    commands.ok("users", "set", "bo", "--no-group")
    commands.ok("limits", "set", "$300/month")
    commands.ok("limits", "remove", "$300/month")
    commands.ok("limits", "remove", "100/hour", "--group", "family")
    commands.ok("limits", "remove", "$5/month", "--user", "anna", "--model", "anthropic/*")
    found = commands.read("limits", "list")
    assert isinstance(found, list)
    assert {(each["scope"], each["limit"], each["source"]) for each in found} == {
        ("each_user", "$2/day", "database"),
        ("user", "$20.000000000001/month", "database"),
        ("user", "$5/day", "config"),
        ("use_case", "1000000/day (soft)", "database"),
    }


def test_a_group_is_not_removed_in_silence(commands: Commands) -> None:
    commands.ok("groups", "add", "team", "--limit", "$9/day")
    commands.ok("groups", "add", "below", "--parent", "team")
    commands.ok("users", "add", "bo", "--no-token", "--group", "team")
    ran = commands.run("groups", "remove", "team")
    assert (ran.returncode, "has bo, group below" in ran.stderr) == (1, True)
    assert "no longer hold bo, group below" in commands.ok("groups", "remove", "team", "--yes").stderr
    assert settings_of(commands, "groups", "below") == {}
    assert commands.ok("groups", "list").stdout.split()[:3] == ["group", "parent", "members"]
