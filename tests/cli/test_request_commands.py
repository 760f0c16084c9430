"""requests, tail, show, why and status as people use them, on a terminal of 80 columns."""

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from proxy.cli import tollkeeper
from proxy.cli.status import _lines
from proxy.core.errors import ConfigError
from tests.cli.command_line import ROOT
from tests.support.installation import token_hash_of, token_of
from tests.support.stand import MODEL, Stand, stand

SETTINGS: dict[str, Any] = {
    "limits": {"cost": "$50/month"},
    "presets": {"fast": {"targets": ["plain/gpt-4o-mini", "openai/gpt-4o-mini"]}},
    "groups": {"family": {}},
    "users": {
        "anna": {"limits": {"cost": "$5/day", "requests": "2/day"}, "group": "family"},
        "bo": {"token_hash": token_hash_of("bo"), "limits": {"cost": "$0.000001/day"}},
    },
}
SLOW = {"completion_tokens": 12, "pace_ms": 10, "first_token_ms": 60, "provider": "OpenAI"}


class Day:
    """A proxy that has served, and its commands."""

    def __init__(self, proxy: Stand) -> None:
        self.proxy = proxy
        self.ids: dict[str, str] = {}

    async def invoke(self, *arguments: str) -> Result:
        """Run a command in a thread of this process, without a terminal, 80 columns wide."""
        line = [*arguments, "-c", str(self.proxy.folder / "config.yaml")]
        runner = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"})
        return await asyncio.to_thread(runner.invoke, tollkeeper, line)

    async def said(self, *arguments: str) -> str:
        ran = await self.invoke(*arguments)
        assert ran.exit_code == 0, (ran.stdout, ran.stderr, ran.exception)
        return masked(ran.stdout)

    def process(self, *arguments: str, **more: Any) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "proxy", *arguments, "-c", str(self.proxy.folder / "config.yaml")],
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "xterm", "PYTHONUTF8": "1"},
            stdin=subprocess.DEVNULL,
            **more,
        )


def masked(text: str) -> str:
    """Return what a command said with what differs between runs replaced, as wide as it was where that is fixed."""
    for pattern, mask in (
        (r"req_[0-9a-f]{16}", "req_0123456789abcdef"),
        (r"gen-[0-9]+-\w+", "gen-ID"),
        (r"\d{4}-\d\d-\d\d( at)? \d\d:\d\d(:\d\d)? UTC", "TIME"),
        (r"\d\d-\d\d \d\d:\d\d\b", "mm-dd hh:mm"),
        (r"\b\d\d:\d\d:\d\d\b", "hh:mm:ss"),
        (r"(less than )?\b\d+ ms|\b\d+\.\d\d s\b", "N ms"),
        (r"in (\d+ h \d+ min|\d+ min \d+ s|\d+ s)", "in N h"),  # the last hour of a day too
    ):
        text = re.sub(pattern, mask, text)
    return text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def day(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Day]:
    async with stand(tmp_path_factory.mktemp("commands"), SETTINGS) as proxy:
        found = Day(proxy)
        await proxy.sim.behave("path:/openai/v1/chat/completions", error="server-error", delay_ms=30)
        await proxy.sim.behave("model:openai/gpt-4o-mini", **SLOW)
        for name, more in (
            ("fallback", {"body": {"model": "fast", "stream": True, "max_tokens": 50}}),
            ("plain", {"body": {"max_tokens": 50}}),
            ("over", {"token": token_of("bo")}),
            ("wrong", {"token": token_of("nobody")}),
        ):
            found.ids[name] = str((await proxy.chat(**more)).header("x-request-id"))
        await proxy.sim.normal()
        assert await proxy.app.refusals.flush()
        yield found


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_show(day: Day) -> None:
    text = await day.said("show", day.ids["fallback"])
    head, _, attempts = text.partition("\n\n")
    assert head == (
        "request     req_0123456789abcdef\n"
        "time        TIME\n"
        "user        anna (group family)\n"
        "token       3c40c454\n"
        "asked for   fast (chat/completions, streamed)\n"
        "status      200 (settled)\n"
        "answered    openai/gpt-4o-mini at openrouter\n"
        "generation  gen-ID\n"
        "took        N ms, first content after N ms\n"
        "tokens      3 in, 12 out\n"
        "reserved    $0.0000837\n"
        "cost        $0.00000765, the provider's own figure in its answer"
    )
    lines = attempts.splitlines()
    assert [line for line in lines if line.strip(" ░█") != ""] == [
        "attempt 1   gpt-4o-mini at plain, key main: failed with an error of the",
        "            provider (status 500) after N ms; $0",
        "attempt 2   openai/gpt-4o-mini at openrouter by OpenAI, key main: answered",
        "            (status 200) after N ms; $0.00000765",
        "price now   3 in at $0.15 a million, 12 out at $0.6",
        "            ░ until the first content  █ content",
    ]
    first, second = (line for line in lines if line and line.strip(" ░█") == "")
    assert re.fullmatch(r" {12}░+", first)
    assert re.fullmatch(r" {13,}░+█+", second)
    assert max(map(len, lines)) < 80
    shown = json.loads((await day.invoke("show", day.ids["fallback"], "--json")).stdout)
    assert len(shown["attempts"]) == 2


async def test_show_of_a_refusal(day: Day) -> None:
    text = await day.said("show", day.ids["over"])
    assert "status      402 insufficient_quota (refused)\n" in text
    assert "told        This request needs" in text
    assert "cost        nothing: it was not sent\n" in text
    assert text.partition("\nlimit ")[2].split(", resets")[0] == (
        "      hard, cost $0.000001 per day of user:bo: used $0, reserved $0,\n"
        "            needed $0.0002049, remaining $0.000001"
    )


async def test_why_and_requests_on_a_terminal(day: Day) -> None:
    why = await on_terminal(day, "why", day.ids["over"])
    assert why == (
        "bo asked for openai/gpt-4o-mini (chat/completions) on TIME from 127.0.0.1, with token 6fe97812. It was refused"
        " after N ms with status 402 (insufficient_quota). What refused it is the hard limit of $0.000001 per day for"
        " user bo: $0.00 of it was spent, $0.00 set aside by open requests, $0.0002049 needed, $0.000001 left; it"
        ' resets on TIME. The client was told: "This request needs $0.0002049 even with max_tokens 256; $0.000001 is'
        ' left of the daily budget of user "bo". Send a shorter prompt, or use a cheaper model. It resets at TIME (in N'
        ' h)."'
        " Nothing was sent to a provider, and nothing was booked."
    )
    table = await on_terminal(day, "requests", "--month", "this-month", whole=False)
    assert table.splitlines()[:5] == [
        "time         request               user  model               status    cost_usd",
        "mm-dd hh:mm  req_0123456789abcdef  -     chat/completions    401              0",
        "mm-dd hh:mm  req_0123456789abcdef  bo    openai/gpt-4o-mini  402              0",
        "mm-dd hh:mm  req_0123456789abcdef  anna  openai/gpt-4o-mini  200     0.00000765",
        "mm-dd hh:mm  req_0123456789abcdef  anna  fast                200     0.00000765",
    ]


async def on_terminal(day: Day, *arguments: str, whole: bool = True) -> str:
    """Run a command on a terminal; whole: its lines joined into a paragraph."""
    master, slave = pty.openpty()
    try:
        process = day.process(*arguments, stdout=slave, stderr=slave)
        os.close(slave)
        output = await asyncio.to_thread(read_all, master)
        assert await asyncio.to_thread(process.wait, 30) == 0, output
    finally:
        os.close(master)
    lines = output.replace("\r\n", "\n").splitlines()
    assert max(map(len, lines)) <= 80
    return masked(" ".join(lines) if whole else "\n".join(lines))


def read_all(master: int) -> str:
    output = b""
    with contextlib.suppress(OSError):  # Linux's sign that the other end is closed
        while piece := os.read(master, 65536):
            output += piece
    return output.decode()


async def test_requests_by_filters(day: Day) -> None:
    def ids(text: str) -> list[str]:
        return [one["id"] for one in json.loads(text)]

    for arguments, names in (
        (("--status", "refused"), ["wrong", "over"]),
        (("--status", "ok", "--user", "anna"), ["plain", "fallback"]),
        (("--status", "4xx", "--error", "invalid_api_key"), ["wrong"]),
        (("--model", "fast", "--since", "today"), ["fallback"]),
        (("--min-cost", "$1"), []),
        (("--charged-in-full",), []),
        (("--since", "2h", "--limit", "1"), ["wrong"]),
        (("--until", "yesterday"), []),
    ):
        ran = await day.invoke("requests", "--json", *arguments)
        assert ids(ran.stdout) == [day.ids[name] for name in names], arguments


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("requests", "--user", "annna"),
            'there is no user "annna", and nothing was ever booked for one. Did you mean',
        ),
        (("requests", "--status", "4y"), "write a status such as 429"),
        (("requests", "--month", "2026-11", "--since", "today"), "Give --month, or --since and --until."),
        (("requests", "--month", "nov"), "'nov' is not a month"),
        (("requests", "--min-cost", "much"), "min_cost_usd"),
        (("show", "req_0000000000000001"), "this one would be older, and has been removed"),
        (("why", "no/such"), 'There is no request "no/such"'),
    ],
)
async def test_what_is_wrong_is_said(day: Day, arguments: tuple[str, ...], words: str) -> None:
    ran = await day.invoke(*arguments)
    assert ran.exit_code in (1, 2)
    assert words in ran.stderr


async def test_status_is_one_screen(day: Day) -> None:
    text = await day.said("status")
    ledger = next(line for line in text.splitlines() if line.startswith("Ledger"))
    assert re.search(r"ledger\.db, [\d.]+ kB; disk [\d.]+ .B free \(\d+ %\)", text.replace("\n" + " " * 15, " ")), (
        ledger
    )
    assert "Configuration  in force\n" in text
    assert "Today          $0.0000153, 2 requests\n" in text
    assert text.partition("\nLimits\n")[2] == (
        "    0 %  all: $0.0000153 used of $50 per month (hard); resets mm-dd hh:mm\n"
        "  100 %  user:anna: 2 used of 2 requests per day (hard); resets mm-dd hh:mm\n"
        "\n"
        "Providers\n"
        "  openrouter: ready, 1 key, 34 models\n"
        "  plain: ready, 1 key, 13 models\n"
        "\n"
        "Refused in the last hour\n"
        "       1  401 invalid_api_key\n"
        "       1  402 insufficient_quota\n"
    )
    looks = " ".join(text.partition("\nNeeds a look\n")[2].partition("\n\n")[0].split())
    assert "warning: 2 of 2 requests per day is used or set aside by user anna: 100 %. It resets at" in looks
    assert looks.endswith("See what it went to, or raise the limit. tollkeeper limits list --user anna")
    assert max(map(len, text.splitlines())) <= 80


async def test_tail_shows_each_request_as_it_ends(day: Day) -> None:
    last = await day.said("tail", "-n", "2")
    assert last.splitlines()[1].startswith(
        "hh:mm:ss info    request.refused  401 -          /v1/chat/completions  N ms"
    )
    process = day.process("tail", "-f", "-n", "1", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        first = (await asyncio.to_thread(process.stdout.readline)).decode()
        assert day.ids["wrong"] in first
        answers = [await day.proxy.chat(token=token_of(name)) for name in ("bo", "nobody")]
        answers.append(await day.proxy.chat())  # the limit of two requests a day
        lines = [(await asyncio.to_thread(process.stdout.readline)).decode() for _ in answers]
        assert [str(answer.header("x-request-id")) in line for answer, line in zip(answers, lines, strict=True)] == [
            True
        ] * 3
        process.send_signal(signal.SIGINT)
        rest, errors = await asyncio.to_thread(process.communicate)
        assert (process.returncode, rest, errors.strip()) == (0, b"", b"")
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


_IN_AN_EMERGENCY = (
    ("stop", "--user", "bo", "--for", "2h", "--reason", "Her laptop was stolen"),
    ("stops",),
    ("resume", "--user", "bo"),
    ("users", "list"),
    ("users", "disable", "bo"),
    ("users", "enable", "bo"),
    ("tokens", "list"),
    ("groups", "list"),
    ("limits", "list"),
    ("keys", "list"),
    ("operators", "list"),
    ("audit", "log", "--verify"),
    ("audit", "check"),
    ("alerts", "list"),
    ("alerts", "deliveries"),
    ("models", "list"),
    ("explain", MODEL),
    ("usage",),
)


async def test_a_broken_file_keeps_nobody_from_looking_or_stopping(day: Day) -> None:
    config = day.proxy.folder / "config.yaml"
    whole = config.read_text()
    try:
        for broken in (f"{whole}\nlimitz: {{}}\n", f"{whole}\n\tx: [\n"):
            config.write_text(broken)
            ran = await day.invoke("status")
            assert (ran.exit_code, "goes on with the configuration before" in ran.stderr) == (0, True), ran.output
            assert "Refused in the last hour" in ran.stdout
            assert (await day.invoke("why", day.ids["over"])).exit_code == 0
            for arguments in _IN_AN_EMERGENCY:
                ran = await day.invoke(*arguments)
                assert ran.exit_code == 0, (arguments, ran.output)
    finally:
        config.write_text(whole)
    config = day.proxy.folder / "another.yaml"
    config.write_text("database: ./another.db\nlimitz: {}\n")
    config.chmod(0o600)
    line = ["status", "-c", str(config)]
    ran = await asyncio.to_thread(CliRunner().invoke, tollkeeper, line)
    assert isinstance(ran.exception, ConfigError)


async def test_status_is_drawn_anew_until_ctrl_c(day: Day) -> None:
    process = day.process("status", "--watch", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    try:
        looks = [json.loads(await asyncio.to_thread(process.stdout.readline)) for _ in range(2)]
        assert [look["today"]["requests"] for look in looks] == [2, 2]
        process.send_signal(signal.SIGINT)
        rest, errors = await asyncio.to_thread(process.communicate)
        assert (process.returncode, rest, errors.strip()) == (0, b"", b"")
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


async def test_without_a_proxy_the_ledger_answers(tmp_path: Path) -> None:
    async with stand(tmp_path) as proxy:
        answer = await proxy.chat()
        await proxy.app.close()
        day = Day(proxy)
        assert str(answer.header("x-request-id")) in (await day.invoke("requests")).stdout
        assert "no proxy runs" in await day.said("status")
        ran = await day.invoke("tail", "-f")
        assert (ran.exit_code, "No proxy runs" in ran.stderr) == (1, True)


async def test_status_tells_trouble_first_hand(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = json.loads((await day.invoke("status", "--json")).stdout)
    at = "2026-11-29T18:00:00.000Z"
    found |= {
        "config_problem": "config.yaml:3: unknown key",
        "clock_problem": "the clock stepped back",
        "jobs": {"retention": "it has ended by itself"},
        "draining": True,
        "alerts": [{"rule": "budgets", "subject": "user:anna", "since_at": at}],
        "stops": [
            {"kind": "user", "subject": "bo", "reason": "a leak", "actor": "root", "ends_at": at}
            | {"effect": "stop", "preset": None, "a_minute": None}
        ],
    }
    (spent,) = [one for one in found["attention"] if one["kind"] == "limit_spent"]
    disk = {"severity": "critical", "text": "90 MB are left.", "action": {"text": "Free some.", "command": None}}
    found["attention"] = [disk, *([spent] * 11)]
    plain = found["providers"]["plain"]
    plain["breaker"] |= {"state": "open", "failures_in_row": 5, "retry_in_s": 3.5}
    plain["models"] = {"gpt-4o-mini": {"state": "open"}}
    plain["keys"] = [{"name": "main", "valid": True, "set_aside_until": at, "reason": "rate limited"}]
    plain["keys"].append({"name": "spare", "valid": False, "set_aside_until": None, "reason": None})
    plain |= {"models_problem": "status 500", "line": {"running": 2, "waiting": 1}}
    text = "\n".join(_lines(found, ZoneInfo("UTC")))
    for line in (
        "Configuration  config.yaml:3: unknown key",
        "Clock          the clock stepped back",
        "Job            retention does not run: it has ended by itself",
        "Stopped        user bo, by root until 2026-11-29 18:00: a leak",
        "  critical: 90 MB are left. Free some.",
        "  … and 2 more things: tollkeeper status --json",
        "  budgets: user:anna, since 11-29 18:00",
    ):
        assert line in text.splitlines()
    assert ", stopping" in text.partition("\nConfiguration")[0]
    assert " ".join(text.partition("  plain: ")[2].partition("\n\n")[0].split()) == (
        "breaker open after 5 failures, tried again in 3.5 s; breaker open for gpt-4o-mini; key main set aside until"
        f" {at} (rate limited); key spare refused; list of models: status 500; 2 running, 1 waiting"
    )
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("pattern", "note"),
    [
        ("openai/gpt-4o-mni", 'no listed model has the name "openai/gpt-4o-mni". Did you mean "openai/gpt-4o-mini"?'),
        ("qqqq", 'no listed model has the name "qqqq". See: tollkeeper models list'),
        ("openai/*", ""),
        ("openrouter/openai/gpt-4o-mini", ""),
    ],
)
async def test_a_stop_says_that_no_listed_model_has_its_name(day: Day, pattern: str, note: str) -> None:
    ran = await day.invoke("stop", "--model", pattern)
    try:
        assert (ran.exit_code, ran.stderr.startswith(f"Note: {note}\n" if note else "Stopped: ")) == (0, True)
    finally:
        assert (await day.invoke("resume", "--model", pattern)).exit_code == 0
