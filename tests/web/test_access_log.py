"""One line for every request, on every way in, with the figures of its row; nothing of it costs the request a wait."""

import ast
import io
import json
import logging
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.logs import Output, set_up_logs
from proxy.core.money import pusd_to_usd
from proxy.pipeline import access_log
from proxy.pipeline.access_log import LINES_LOST, AccessLog, Ended, Line
from proxy.pipeline.values.finished import RequestFinished
from proxy.storage.rows import OpenRow, RequestEnd
from tests.support.control import Controls
from tests.support.ended_request import END, OPEN
from tests.support.installation import settings, token_hash_of, token_of, write_config
from tests.support.patience import eventually
from tests.support.process import Process, serving
from tests.support.stand import CHAT, MESSAGES, MODEL, read_rows, simulator

ROOT = Path(__file__).resolve().parents[2]
FREE = {"*": {"input": 0, "output": 0}}


@pytest.fixture
async def sim() -> Any:
    async with simulator() as found:
        yield found


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


async def logged(process: Process, count: int) -> list[dict[str, Any]]:
    """Wait for count lines of requests and give them."""

    async def look() -> list[dict[str, Any]]:
        lines = [line for line in json_lines(process.stderr()) if line["event"].startswith("request")]
        return lines if len(lines) >= count else []

    return await eventually(look)


async def test_each_request_leaves_one_line_with_the_figures_of_its_row(tmp_path: Path, sim: Controls) -> None:
    path = write_config(tmp_path, settings(sim.url))
    async with serving(tmp_path, path) as process:
        for stream in (False, True):
            got = await process.ask("POST", CHAT, {"model": MODEL, "messages": MESSAGES, "stream": stream})
            assert got.status == 200
        await sim.behave(named="error-provider-error")
        assert (await process.ask("POST", CHAT, {"model": MODEL, "messages": MESSAGES})).status >= 500
        lines = await logged(process, 3)
        assert await process.stop() == 0
    rows = read_rows(tmp_path / "ledger.db", "SELECT * FROM usage ORDER BY request_id")
    assert len(lines) == len(rows) == 3
    for line, row in zip(lines, rows, strict=True):
        assert line["event"] == "request"
        for name in ("request_id", "user", "provider", "status", "input_tokens", "output_tokens", "state", "attempts"):
            assert line[name] == row[name], name
        assert line["model"] == MODEL
        assert line["duration_ms"] == row["duration_ms"]
        assert line["ttft_ms"] == row["ttft_ms"]
        assert line["error"] == row["error"]
        assert line["cost_usd"] == pusd_to_usd(row["cost_pusd"])
    assert [line["streamed"] for line in lines] == [False, True, False]


@pytest.mark.parametrize("lane", [True, False])
async def test_a_refusal_says_who_what_and_why(tmp_path: Path, sim: Controls, lane: bool) -> None:
    users = {
        "anna": {"token_hash": token_hash_of("anna"), "limits": {"cost": "$0.000001/day"}},
        "bo": {"token_hash": token_hash_of("bo"), "limits": {"requests": "1/minute"}, "models": ["openai/*"]},
    }
    path = write_config(tmp_path, settings(sim.url, {"server": {"fast_path": lane}, "users": users}))
    body = {"model": MODEL, "messages": MESSAGES}
    async with serving(tmp_path, path) as process:
        asked = [
            (401, "invalid_api_key", None, await process.ask("POST", CHAT, body, token="tk-nobody")),
            (402, "insufficient_quota", "anna", await process.ask("POST", CHAT, body)),
            (200, None, "bo", await process.ask("POST", CHAT, body, token=token_of("bo"))),
            (429, "rate_limit_exceeded", "bo", await process.ask("POST", CHAT, body, token=token_of("bo"))),
            (
                403,
                "model_not_allowed",
                "bo",
                await process.ask("POST", CHAT, {**body, "model": "x/y"}, token=token_of("bo")),
            ),
            (400, "invalid_json", "bo", await process.ask("POST", CHAT, b"{", token=token_of("bo"))),
            (404, "unknown_url", None, await process.ask("GET", "/v2/models?key=tk-secret")),
        ]
        lines = await logged(process, len(asked))
    assert len(lines) == len(asked)
    for line, (status, code, user, got) in zip(lines, asked, strict=True):
        assert (line["status"], line["error"], line["user"]) == (status, code, user)
        assert got.status == status
        assert line["event"] == ("request" if status == 200 else "request.refused")
    assert lines[1]["model"] == MODEL
    assert "daily budget" in lines[1]["reason"]
    assert lines[6]["path"] == "/v2/models"


async def test_the_level_follows_the_file(tmp_path: Path, sim: Controls) -> None:
    path = write_config(tmp_path, settings(sim.url, {"log": {"level": "warning"}}))
    body = {"model": MODEL, "messages": MESSAGES}
    async with serving(tmp_path, path) as process:
        assert (await process.ask("POST", CHAT, body)).status == 200
        write_config(tmp_path, settings(sim.url, {"log": {"level": "info"}}))
        await eventually(lambda: is_in(process, "config.changed"))
        assert (await process.ask("POST", CHAT, body)).status == 200
        await logged(process, 1)
    assert len([line for line in json_lines(process.stderr()) if line["event"] == "request"]) == 1


async def is_in(process: Process, text: str) -> bool:
    return text in process.stderr()


class Kept:
    """Lines as they come; stopped: the place where they go does not take any yet."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.goes_on = threading.Event()
        self.goes_on.set()

    def write(self, entries: Sequence[Ended | Line]) -> None:
        assert self.goes_on.wait(30)
        self.lines += [entry if isinstance(entry, dict) else access_log.request_line(*entry) for entry in entries]


def test_what_finds_no_room_is_counted_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "_ENTRIES_MAX", 10)
    kept = Kept()
    kept.goes_on.clear()
    log = AccessLog(kept)
    for _ in range(100):
        log.finished(RequestFinished(OPEN, END))
    kept.goes_on.set()
    log.close()
    told = [line for line in kept.lines if line["event"] == LINES_LOST]
    assert len(kept.lines) - len(told) + sum(line["lines"] for line in told) == 100
    assert told


def test_nothing_is_lost_between_two_batches() -> None:
    kept = Kept()
    log = AccessLog(kept)
    for n in range(3000):
        log.finished(RequestFinished(OPEN, END._replace(id=n)))
        if n % 500 == 0:
            threading.Event().wait(0.06)
    log.close()
    assert [line["request_id"] for line in kept.lines] == [f"req_{n:016x}" for n in range(3000)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def own_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    others = ("tollkeeper", "proxy", "aiohttp.server", "aiohttp.access", "aiohttp.client", "asyncio")
    levels = {name: logging.getLogger(name).level for name in others}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)


def written(stream: io.StringIO, form: str, *lines: Ended | Line) -> str:
    Output(stream, form).write(lines)
    return stream.getvalue()


ODD: dict[type, list[object]] = {
    str: ['a"b\\', "100 %s %", "\u2028", "\ud800", "é", '":null,"input_tokens":null', "", "x" * 300],
    int: [0, 7, 10**15],
}


@pytest.mark.parametrize("row", [OPEN, END])
def test_a_line_that_is_written_fast_is_the_line(row: OpenRow | RequestEnd) -> None:
    """Whichever field differs from that of the request before, and whatever stands in it."""
    kind: Any = type(row)
    optional = {name for name, hint in kind.__annotations__.items() if "None" in str(hint)}
    rows = [row]
    for name in row._fields:
        value = getattr(row, name)
        for other in (*ODD.get(str if value is None else type(value), []), *([None] if name in optional else [])):
            changed: dict[str, Any] = {name: other}
            rows += [row._replace(**changed), row]
    pairs = [(row, END) if isinstance(row, OpenRow) else (OPEN, row) for row in rows]
    lines = [{**access_log.request_line(*pair), "ts": None} for pair in pairs]
    found = [json.loads(line) for line in written(io.StringIO(), "json", *pairs).splitlines()]
    assert [{**line, "ts": None} for line in found] == lines
    assert [list(line) for line in found] == [list(line) for line in lines]
    slow = [
        json.loads(line)["ts"]
        for line in written(
            io.StringIO(), "json", *[dict(access_log.request_line(*pair)) for pair in pairs]
        ).splitlines()
    ]
    assert [line["ts"] for line in found] == slow


def test_text_on_a_terminal_and_json_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    line = access_log.request_line(OPEN, END)
    text = written(Terminal(), "auto", line)
    assert "request          200 anna       fast → openai/gpt-5-mini at openrouter  312+45 tokens  $0.0004875" in text
    assert "1.24 s (first 310 ms)" in text
    assert "attempts=2" in text
    assert "endpoint" not in text  # nearly every one's
    [found] = json_lines(written(io.StringIO(), "auto", line))
    assert found["ts"] == "2025-11-29T07:06:41.234Z"
    assert found["cost_usd"] == "0.0004875"
    assert written(io.StringIO(), "text", line) == text
    assert json_lines(written(Terminal(), "json", line)) == [found]


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    line = {**access_log.request_line(OPEN, END), "status": 502}
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[33m502\x1b[0m" in written(Terminal(), "auto", line)
    assert "\x1b" not in written(io.StringIO(), "text", line)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in written(Terminal(), "auto", line)


@pytest.mark.parametrize(
    "name", ["a\nrequest 200 root", "\x1b[2J", "a b", "a\u2028b", "\u202egnp", "x=1", "\ud800", '"']
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_name_cannot_make_a_line_of_its_own(name: str, form: str) -> None:
    line = {**access_log.request_line(OPEN, END), "model": name}
    text = written(io.StringIO(), form, line)
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    assert text.removesuffix("\n").isprintable()
    if form == "json":
        assert json.loads(text)["model"] == name


class Closed(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_a_log_that_nobody_reads_stops_nothing() -> None:
    log = AccessLog(Output(Closed(), "json"))
    log.finished(RequestFinished(OPEN, END))
    log.close()


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_line_that_cannot_be_formatted_ends_nothing(form: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is told and counted; those around it are written, and so is what comes later."""
    stream = io.StringIO()
    log = AccessLog(Output(stream, form))
    for n in range(3):
        log.finished(RequestFinished(OPEN, END._replace(id=n)))
        odd = END._replace(cost_pusd="odd", id=99)  # type: ignore[arg-type]  # none that should be
        log.finished(RequestFinished(OPEN, odd))
    log.close()
    assert [f"req_{n:016x}" in stream.getvalue() for n in (0, 1, 2, 99)] == [True, True, True, False]
    told = [record for record in caplog.records if record.getMessage() == "log.line_unwritable"]
    assert len(told) == 3


@pytest.mark.usefixtures("own_logging")
def test_details_keep_their_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    set_up_logs("info", "text")
    logging.getLogger("tollkeeper.test").error("config.refused", extra={"details": "line 3\n  ^ here"})
    assert capsys.readouterr().err.endswith("error   config.refused\nline 3\n  ^ here\n")


def _names_in(argument: ast.expr, tree: ast.Module) -> list[str]:
    """Give the event of an argument: its text, or all those of the table of the module that it is looked up in."""
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return [argument.value]
    if not isinstance(argument, ast.Subscript):
        return []
    tables = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(node.value, ast.Dict)
        and ast.unparse(argument.value)
        in [ast.unparse(target) for target in (node.targets if isinstance(node, ast.Assign) else [node.target])]
    ]
    return [str(value.value) for table in tables for value in table.values if isinstance(value, ast.Constant)]


def events_in_code() -> set[str]:
    """Give the names of all events: the first argument of every call on a logger, and those of the access log."""
    found = {access_log.REQUEST, access_log.REFUSED, access_log.JOINED, access_log.LINES_LOST}
    for path in (ROOT / "proxy").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("debug", "info", "warning", "error", "exception", "critical", "log")
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in ("log", "_log", "_LOG", "logger")
            ):
                names = [name for arg in node.args for name in _names_in(arg, tree)]
                assert names, f"{path}:{node.lineno} logs no plain name"
                found.update(names)
    return found


def test_every_event_is_in_the_docs_and_none_besides() -> None:
    page = (ROOT / "docs" / "reference" / "logging.md").read_text()
    told = set(re.findall(r"^\| `([a-z_.]+)` \| (?:debug|info|warning|error) \|", page, re.MULTILINE))
    assert events_in_code() == told
    assert all(re.fullmatch(r"[a-z]+(\.[a-z_]+)?", name) for name in told)


def test_every_field_of_a_request_is_in_the_docs() -> None:
    page = (ROOT / "docs" / "reference" / "logging.md").read_text()
    for name in access_log.request_line(OPEN, END):
        assert f"`{name}`" in page, name


async def test_failures_are_warnings_with_their_reason(tmp_path: Path, sim: Controls) -> None:
    """A dead provider, a refused key, an account without money, a fallback, a breaker that opens and closes."""
    more = {
        "providers": {
            "openrouter": {"breaker": {"failures": 2, "cooldown_s": 0.2}},
            "dead": {
                "kind": "openai",
                "base_url": "http://127.0.0.1:9/v1",
                "api_key": "sk-x",
                "prices": FREE,
                "breaker": {"failures": 1},
            },
        },
        "presets": {"fast": ["dead/x", MODEL]},
    }
    path = write_config(tmp_path, settings(sim.url, more))
    body = {"model": MODEL, "messages": MESSAGES}
    async with serving(tmp_path, path) as process:
        assert (await process.ask("POST", CHAT, {**body, "model": "fast"})).status == 200
        for n in range(3):  # of different requests: one that fails alone says nothing of the next
            await sim.behave(named="error-provider-error")
            await process.ask("POST", CHAT, {**body, "messages": [{"role": "user", "content": f"Say {n}."}]})
        await eventually(lambda: is_in(process, '"reason": "failed_behind"'))

        async def answers() -> bool:
            await sim.reset()
            return (await process.ask("POST", CHAT, body)).status == 200

        await eventually(answers)
        await sim.behave(named="error-credits-insufficient")
        await process.ask("POST", CHAT, body)
        await eventually(lambda: is_in(process, "provider.no_credit"))
    lines = json_lines(process.stderr())
    found = {line["event"]: line for line in reversed(lines) if line["level"] == "warning"}
    assert found["provider.unavailable"]["provider"] == "dead"
    assert found["attempt.failed"]["reason"] == "unreachable"
    assert found["attempt.failed"]["user"] == "anna"
    assert found["request.fallback"]["from_provider"] == "dead"
    assert found["request.fallback"]["model"] == MODEL
    assert {"breaker.opened", "breaker.closed", "key.set_aside", "provider.no_credit"} <= set(found)
    opened = [line for line in lines if line["event"] == "breaker.opened" and line["provider"] == "openrouter"]
    assert {line.get("model") for line in opened} >= {MODEL}
    assert found["breaker.opened"]["provider"] == "dead"
    assert found["breaker.opened"]["reason"] == "unreachable"
