"""usage, export, check and scripts/export_usage.py as processes: output, exit codes, files."""

import contextlib
import csv
import http.client
import io
import json
import os
import pty
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import duckdb
import pytest

from proxy.storage.export import COLUMNS
from tests.cli.command_line import ROOT, CommandLine
from tests.cli.conftest import write_file
from tests.storage.made_rows import fill, ledger

COUNT = 6000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a ledger of made rows that every test has a copy of."""
    path = tmp_path_factory.mktemp("made") / "tollkeeper.db"
    path.touch(mode=0o600)
    with ledger(path, zone="Asia/Kolkata", currency="SEK", rate="10.5") as connection:
        fill(connection, COUNT)
    assert [one.name for one in path.parent.iterdir()] == [path.name]  # all of it is in the one file
    return path


@pytest.fixture
def filled(cli: CommandLine, made: Path) -> CommandLine:
    """Return a command line whose ledger holds made rows and whose reports are in two currencies; no provider."""
    write_file(cli.folder, "http://127.0.0.1:9")
    config = cli.folder / "config.yaml"
    config.write_text(config.read_text() + "currency: {code: SEK, usd_rate: 10.5}\ntimezone: Asia/Kolkata\n")
    shutil.copy(made, cli.folder / made.name)
    return cli


def of_ledger(cli: CommandLine, query: str) -> Any:
    db = sqlite3.connect(cli.folder / "tollkeeper.db")
    try:
        return db.execute(query).fetchone()[0]
    finally:
        db.close()


def test_usage_sums_to_the_ledger(filled: CommandLine) -> None:
    total = of_ledger(filled, "SELECT sum(cost_pusd) FROM requests WHERE state IN ('settled', 'released')")
    document = filled.read("usage", "--by", "user,model,day")
    assert document["total"]["cost_pusd"] == sum(row["cost_pusd"] for row in document["rows"]) == total
    assert Decimal(document["total"]["cost_usd"]) == Decimal(total).scaleb(-12)
    assert Decimal(document["total"]["cost_sek"]) == Decimal(total).scaleb(-12) * Decimal("10.5")
    assert document["open"] == of_ledger(filled, "SELECT count(*) FROM requests WHERE state = 'open'")
    assert set(document["rows"][0]) >= {"user", "model", "day", "requests", "errors", "input_tokens", "output_tokens"}


def test_usage_as_table_and_csv(filled: CommandLine) -> None:
    table = filled.ok("usage")
    lines = table.stdout.splitlines()
    assert lines[0].split() == ["user", "requests", "errors", "input_tokens", "output_tokens", "cost_usd", "cost_sek"]
    assert lines[-1].startswith("total")
    assert len({len(line) for line in lines}) == 1  # the last column stands on the right
    assert "still running" in table.stderr
    assert "waiting for the provider's figure" in table.stderr
    assert "flagged" in table.stderr
    rows = list(csv.DictReader(io.StringIO(filled.ok("usage", "--csv").stdout)))
    assert {row["user"] for row in rows} == {"anna", "bob", "carl", "'=cmd()"}


def test_usage_of_one_user_and_time(filled: CommandLine) -> None:
    ran = filled.read("usage", "--user", "anna", "--since", "2026-09-22T03:17:05", "--until", "2026-09-22T20:44:59Z")
    expected = of_ledger(
        filled,
        "SELECT sum(cost_pusd) FROM usage WHERE user = 'anna' AND state IN ('settled', 'released')"
        " AND ts >= '2026-09-21T21:47:05.000Z' AND ts < '2026-09-22T20:44:59.000Z'",
    )
    assert ran["total"]["cost_pusd"] == expected > 0
    assert filled.read("usage", "--since", "1d")["rows"] == []


def test_a_terminal_gets_a_drawn_table(filled: CommandLine) -> None:
    master, slave = pty.openpty()
    ran = subprocess.run(
        [sys.executable, "-m", "proxy", "usage"],
        cwd=filled.folder,
        env={**filled.environ, "TERM": "xterm", "COLUMNS": "200", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(slave)
    shown = os.read(master, 65536).decode()
    os.close(master)
    assert ran.returncode == 0, ran.stderr
    assert "total" in shown
    assert "\x1b[3" not in shown  # NO_COLOR


@pytest.mark.parametrize("running", [False, True])
def test_export_round_trip(filled: CommandLine, running: bool) -> None:
    def export() -> None:
        cells = list(csv.DictReader(io.StringIO(filled.ok("export").stdout, newline="")))
        assert len(cells) == COUNT
        assert tuple(cells[0]) == COLUMNS
        total = of_ledger(filled, "SELECT sum(cost_pusd) FROM requests")
        assert sum(int(row["cost_pusd"] or 0) for row in cells) == total
        rows = [json.loads(line) for line in filled.ok("export", "--format", "jsonl").stdout.splitlines()]
        assert sum(row["cost_pusd"] or 0 for row in rows) == total

    if running:
        with filled.serving():
            export()
    else:
        export()


def test_export_to_a_file(filled: CommandLine) -> None:
    target = filled.folder / "out.jsonl"
    target.write_text("old")
    ran = filled.ok("export", "-o", "out.jsonl", "--user", "anna", "--columns", "user,cost_usd", "--model", "openai/*")
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert f"{len(rows)} rows" in ran.stderr
    assert {row["user"] for row in rows} == {"anna"}
    assert ran.stdout == ""
    assert not list(filled.folder.glob(".*half"))
    filled.ok("export", "-o", "/dev/null")
    assert Path("/dev/null").is_char_device()


@pytest.mark.sampled(0.3)
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("export", "--format", "csv", "--focus-version", "1.2"), 2, "is of --format focus"),
        (("export", "--format", "focus", "--columns", "user"), 2, "leave it out"),
        (("export", "--format", "focus", "--focus-version", "1.5"), 2, "'1.2', '1.4'"),
        (("export", "--summary", "user", "--format", "parquet"), 2, "csv or jsonl"),
        (("export", "--summary", "colour"), 2, "write some of user, group"),
        (("export", "-o", "x.xlsx"), 2, ".xlsx files are not written"),
        (("export", "-o", "x.ods"), 2, ".csv, .jsonl (.ndjson) or .parquet"),
        (("export", "--user", "nobody"), 1, 'There is no user "nobody"'),
        (("usage", "--user", "anan"), 1, 'Did you mean "anna"?'),
        (("usge",), 2, "Did you mean 'usage'?"),
        (("export", "--format", "xml"), 2, "xml"),
        (("export", "--columns", "user,prompt"), 2, "prompt: no such column"),
        (("export", "--columns", "user,user"), 2, "twice"),
        (("export", "--since", "tomorrow"), 2, "is not a time I know"),
        (("export", "--since", "1d", "--until", "2d"), 2, "not after --since"),
        (("export", "-o", "missing/x.csv"), 1, "cannot be written"),
        (("export", "--database", "missing.db"), 4, "there is no ledger"),
        (("usage", "--by", "colour"), 2, "--by"),
        (("usage", "--csv", "--json"), 2, "--json or --csv"),
        (("usage", "-c", "missing.yaml"), 2, "there is no such file"),
    ],
)
def test_mistakes(filled: CommandLine, arguments: tuple[str, ...], code: int, text: str) -> None:
    ran = filled.run(*arguments)
    assert ran.returncode == code, ran.stderr
    assert text in ran.stderr
    assert "Traceback" not in ran.stderr


def test_each_format_as_a_file(filled: CommandLine) -> None:
    """The ending chooses Parquet; FOCUS is CSV of charges, whose days are those of UTC; sums have their total."""
    total = of_ledger(filled, "SELECT sum(cost_pusd) FROM requests")
    filled.ok("export", "-o", "rows.parquet")
    assert (filled.folder / "rows.parquet").read_bytes()[:4] == b"PAR1"
    found = duckdb.execute(f"SELECT sum(cost_pusd)::HUGEINT FROM '{filled.folder / 'rows.parquet'}'").fetchone()  # noqa: S608 - a path of ours
    assert found == (total,)
    charges = list(csv.DictReader(io.StringIO(filled.ok("export", "--format", "focus").stdout)))
    assert sum(int(row["x_CostPusd"]) for row in charges) == total
    month = filled.ok("export", "--format", "focus", "--focus-version", "1.2", "--month", "2026-09").stdout
    assert "ProviderName" in month.splitlines()[0]
    assert month.count("2026-09-01T00:00:00Z") == month.count("\n") - 1
    sums = list(csv.DictReader(io.StringIO(filled.ok("export", "--summary", "month,user").stdout)))
    assert sums[-1]["month"] == "total"
    assert sum(int(row["cost_pusd"]) for row in sums[:-1]) == int(sums[-1]["cost_pusd"]) == total
    assert set(sums[0]) >= {"month", "user", "requests", "cost_usd", "cost_sek"}
    text = filled.ok("export", "--summary", "month,user", "--format", "jsonl").stdout
    lines = [json.loads(line, parse_float=Decimal) for line in text.splitlines()]
    for line, cells in zip(lines, sums, strict=True):
        for name in ("requests", "errors", "input_tokens", "output_tokens", "cost_pusd", "cost_usd", "cost_sek"):
            assert isinstance(line[name], int | Decimal), name  # numbers, as in the lines of rows
            assert line[name] == Decimal(cells[name])


@pytest.mark.parametrize("program", [["-m", "proxy", "export"], [str(ROOT / "scripts" / "export_usage.py")]])
def test_a_full_disk_ends_with_a_sentence(filled: CommandLine, program: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [sys.executable, *program],
            cwd=filled.folder,
            env=filled.environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ran.returncode == 1
    assert "No space left" in ran.stderr
    assert "Traceback" not in ran.stderr
    ran = filled.run("export", "-o", "/dev/full")
    assert (ran.returncode, "cannot be written (No space left on device)" in ran.stderr) == (1, True)


def test_a_pipe_that_is_closed_early(filled: CommandLine) -> None:
    ran = subprocess.run(
        ["sh", "-c", f"'{sys.executable}' -m proxy export | head -n 2"],
        cwd=filled.folder,
        env=filled.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert len(ran.stdout.splitlines()) == 2
    assert "Traceback" not in ran.stderr


def test_the_script_is_the_command(filled: CommandLine) -> None:
    """It finds the package around itself, from any folder, with nothing on the path."""
    environ = {name: value for name, value in filled.environ.items() if name != "PYTHONPATH"}
    script = [sys.executable, str(ROOT / "scripts" / "export_usage.py")]
    options = ["-c", str(filled.folder / "config.yaml"), "--user", "bob"]
    ran = subprocess.run([*script, *options], cwd="/", env=environ, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == filled.ok("export", "--user", "bob").stdout
    ran = subprocess.run(
        [*script, "--database", "no.db"], cwd="/", env=environ, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 4
    assert "there is no ledger" in ran.stderr


def made_python(home: Path, *, has_all: bool) -> Path:
    """Make an environment with the tester's packages, or with empty ones of two names; return its interpreter."""
    venv.create(home, symlinks=True)
    [packages] = (home / "lib").glob("python*/site-packages")
    if has_all:
        (packages / "all.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    for name in () if has_all else ("click", "pydantic"):
        (packages / f"{name}.py").touch()
        (packages / f"{name}-99.0.dist-info").mkdir()
        (packages / f"{name}-99.0.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: 99.0\n")
    return home / "bin" / "python"


@pytest.mark.skipif(sys.platform == "win32", reason="environments lie elsewhere there")
def test_the_script_finds_the_packages_of_its_checkout(filled: CommandLine, tmp_path: Path) -> None:
    """Also by a Python that has some of them; without a .venv it says what to do."""
    checkout = tmp_path / "checkout"
    (checkout / "scripts").mkdir(parents=True)
    script = Path(shutil.copy(ROOT / "scripts" / "export_usage.py", checkout / "scripts"))
    shutil.copy(ROOT / "pyproject.toml", checkout)
    (checkout / "proxy").symlink_to(ROOT / "proxy")
    command = list(
        map(str, (made_python(tmp_path / "other", has_all=False), script, "-c", filled.folder / "config.yaml"))
    )
    environ = {name: value for name, value in filled.environ.items() if name != "PYTHONPATH"}

    def run() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, cwd="/", env=environ, capture_output=True, text=True, check=False)

    ran = run()
    assert (ran.returncode, "msgspec>=" in ran.stderr, "Run scripts/setup once" in ran.stderr) == (1, True, True)
    assert "Traceback" not in ran.stderr
    assert not {"click", "pydantic"}.intersection(re.findall("[a-z]+", ran.stderr))
    made_python(checkout / ".venv", has_all=True)
    ran = run()
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == filled.ok("export").stdout


def test_a_bar_is_drawn_on_a_terminal_only(filled: CommandLine) -> None:
    master, slave = pty.openpty()
    ran = subprocess.run(
        [sys.executable, "-m", "proxy", "export", "-o", "out.csv"],
        cwd=filled.folder,
        env={**filled.environ, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=slave,
        check=False,
    )
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal; a slow machine draws more than one read returns
        while part := os.read(master, 65536):
            shown += part
    os.close(master)
    assert ran.returncode == 0
    assert b"100%" in shown
    assert f"{COUNT} rows".encode() in shown
    told = filled.ok("export", "-o", "out.csv").stderr
    # a bar is drawn over itself; on a busy machine an export may be long enough to say how far it is
    assert not {"\r", "\x1b"} & set(told)
    assert re.fullmatch(rf"(export: \d+% after \d+ s\n)*{COUNT} rows\n", told)


# --- check


def states(cli: CommandLine, *arguments: str) -> tuple[int, dict[str, str], str]:
    ran = cli.run("check", "--json", *arguments)
    lines = json.loads(ran.stdout)
    return ran.returncode, {line["name"]: line["state"] for line in lines}, json.dumps(lines)


def test_check_when_all_is_well(configured: CommandLine) -> None:
    code, found, _ = states(configured)
    assert (code, found) == (0, {"config": "ok", "ledger": "ok", "limits": "warn", "openrouter": "ok"})
    with configured.serving():
        code, found, text = states(configured)
        assert (code, found["owner"]) == (0, "ok")
        assert "is in use by tollkeeper serve" in text
    assert "ok" in configured.ok("check").stdout


def test_check_makes_nothing(configured: CommandLine) -> None:
    before = {path.name for path in configured.folder.iterdir()}
    configured.ok("check", "--offline")
    assert {path.name for path in configured.folder.iterdir()} == before


def test_check_finds_a_schema_that_cannot_be_used(configured: CommandLine) -> None:
    config = configured.folder / "config.yaml"
    schema = "{type: json_schema, json_schema: {schema: {type: lots}}}"
    preset = f"{{targets: openai/gpt-4o-mini, response_format: {schema}, checks: {{valid_json: true}}}}"
    config.write_text(f"{config.read_text()}presets: {{a: {preset}}}\n")
    code, found, text = states(configured, "--offline")
    assert (code, found["presets"]) == (2, "fail")
    assert "presets.a.response_format" in text


def test_check_finds_a_refused_key_and_does_not_show_it(configured: CommandLine) -> None:
    config = configured.folder / "config.yaml"
    config.write_text(config.read_text().replace("sk-or-v1-canary-key", "canary-of-a-wrong-key"))
    code, found, text = states(configured)
    assert (code, found["openrouter"]) == (1, "fail")
    assert "refuses the key (401)" in text
    assert "canary" not in text
    assert states(configured, "--offline")[0] == 0


def test_check_finds_a_broken_configuration(cli: CommandLine) -> None:
    (cli.folder / "config.yaml").write_text("sever: {}\n")
    code, found, text = states(cli)
    assert (code, found) == (2, {"config": "fail"})
    assert "server" in text


def test_check_finds_a_damaged_ledger(configured: CommandLine) -> None:
    (configured.folder / "tollkeeper.db").write_bytes(b"something else " * 500)
    code, found, _ = states(configured, "--offline")
    assert (code, found["ledger"]) == (4, "fail")


def test_check_finds_a_provider_that_is_not_there(configured: CommandLine) -> None:
    config = configured.folder / "config.yaml"
    with socket.socket() as unused:  # bound and not listening: nobody else gets the port
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        config.write_text(f'providers: {{local: {{kind: openai, base_url: "http://127.0.0.1:{port}/v1"}}}}\n')
        code, found, _ = states(configured)
    assert (code, found["local"]) == (1, "fail")


class _Late(BaseHTTPRequestHandler):
    """A provider whose clock is an hour ahead."""

    def do_GET(self) -> None:
        body = b'{"data": []}'
        self.send_response_only(http.client.OK)
        self.send_header("Date", self.date_time_string(time.time() + 3600))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def late_provider() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Late)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_check_finds_a_clock_that_is_off(configured: CommandLine, late_provider: str) -> None:
    config = configured.folder / "config.yaml"
    config.write_text(f'providers: {{local: {{kind: openai, base_url: "{late_provider}"}}}}\n')
    code, found, text = states(configured)
    assert (code, found["local"], found["clock"]) == (1, "ok", "fail")
    assert "behind local's Date header" in text
