"""tollkeeper usage: words, columns, the dearest, pictures on a terminal, and its figures where a file is broken."""

import csv
import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.cli.usage_columns import COLUMNS
from proxy.storage.spending import USAGE_WORDS
from tests.cli.command_line import CommandLine, Commands
from tests.cli.conftest import write_file
from tests.storage.made_rows import fill, ledger

COUNT = 900


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "tollkeeper.db"
    with ledger(path, zone="Asia/Kolkata", currency="SEK", rate="10.5") as connection:
        fill(connection, COUNT, step_ms=600_000)
    return path


@pytest.fixture
def filled(commands: Commands, made: Path) -> Commands:
    with (commands.folder / "config.yaml").open("a") as config:
        config.write("currency: {code: SEK, usd_rate: 10.5}\ntimezone: Asia/Kolkata\n")
    shutil.copy(made, commands.folder / made.name)
    return commands


def on_a_terminal(folder: Path, *arguments: str, **environ: str) -> str:
    """Return what a command draws; it is a process of its own."""
    master, slave = pty.openpty()
    line = CommandLine(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", *arguments],
        cwd=folder,
        env={**line.environ, "TERM": "xterm", **environ},
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=subprocess.DEVNULL,
    )
    os.close(slave)
    shown = b""
    try:
        while piece := os.read(master, 65536):
            shown += piece
    except OSError:  # the other end is closed
        pass
    os.close(master)
    assert process.wait(60) == 0, shown
    return shown.decode().replace("\r\n", "\n")


def test_every_word_adds_up_to_the_same(filled: Commands) -> None:
    totals = set()
    for word in (*USAGE_WORDS, "tag:k", "user,month,status"):
        document = filled.read("usage", "--by", word)
        totals.add((document["total"]["cost_pusd"], document["total"]["cost_sek"], document["total"]["requests"]))
        assert sum(row["cost_pusd"] for row in document["rows"]) == document["total"]["cost_pusd"]
    assert len(totals) == 1


def test_an_export_says_which_currency_it_has(filled: Commands) -> None:
    note = "Note: cost_local is in SEK, as the ledger has it: tollkeeper serve takes NOK up.\n"
    assert "Note" not in filled.ok("export").stderr
    config = filled.folder / "config.yaml"
    config.write_text(config.read_text().replace("code: SEK", "code: NOK"))
    assert note in filled.ok("export").stderr
    assert (
        "Note"
        not in filled.ok("export", "--columns", "user,cost_usd").stderr
        + filled.ok("export", "--summary", "user").stderr
    )


def test_an_export_that_is_ended_leaves_no_half_file(filled: Commands) -> None:
    """It gets SIGTERM while half of the file is there, as from a service that is stopped."""
    code = (
        "import os, pathlib, signal\n"
        "from proxy.storage.sqlite import csv_lines\n"
        "whole = csv_lines.csv_chunks\n"
        "def ended(*given):\n"
        "    for chunk in whole(*given):\n"
        "        yield chunk\n"
        "        assert pathlib.Path('.x.csv.half').exists()\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "csv_lines.csv_chunks = ended\n"
        "from proxy.cli import export, main\n"
        "export._cores = lambda: 1\n"
        "main(['export', '-o', 'x.csv'])\n"
    )
    line = CommandLine(filled.folder)
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, check=False, cwd=filled.folder, env=line.environ, capture_output=True)
    assert ran.returncode == 128 + 15, ran.stderr
    assert not [*filled.folder.glob("*x.csv*")]


def test_the_dearest_and_all_others_in_one_line(filled: Commands) -> None:
    document = filled.read("usage", "--by", "model", "--top", "2")
    assert len(document["rows"]) == 2
    costs = [row["cost_pusd"] for row in [*document["rows"], document["other"]]]
    assert sum(costs) == document["total"]["cost_pusd"]
    table = filled.ok("usage", "--by", "model,user", "--top", "3").stdout.splitlines()
    assert [line.split()[0] for line in table[-2:]] == ["other", "total"]
    rows = list(csv.DictReader(io.StringIO(filled.ok("usage", "--by", "model", "--top", "2", "--csv").stdout)))
    assert [int(row["cost_pusd"]) for row in rows] == costs
    assert rows[-1]["model"] == "other"
    assert filled.read("usage", "--top", "99")["other"] is None


def test_columns_are_chosen(filled: Commands) -> None:
    head, *lines = filled.ok("usage", "--columns", "share,usd_per_request,cost_local,bar").stdout.splitlines()
    assert head.split() == ["user", "share", "usd_per_request", "cost_sek", "bar"]
    assert lines[-1].split()[:2] == ["total", "100.0%"]
    assert "█" in lines[0]
    wide = filled.ok("usage", "--wide").stdout.splitlines()[0].split()
    assert wide == ["user", *(name.replace("local", "sek") for name in COLUMNS if name not in ("bar", "trend"))]
    shares = [float(line.split()[1].rstrip("%")) for line in lines[:-1]]
    assert abs(sum(shares) - 100) < 0.5


def test_a_terminal_shows_pictures_where_they_fit(filled: Commands) -> None:
    wide = on_a_terminal(filled.folder, "usage", COLUMNS="240")
    assert re.search(r"\x1b\[36m█{12}\x1b", wide)
    assert {*re.findall("[▁▂▃▄▅▆▇█]", wide)} > {"█"}
    head = wide.splitlines()[0]
    assert all(name in head for name in ("share", "bar", "trend", "cached_share", "usd_per_1k_tokens"))
    for columns in ("80", "110"):
        lines = on_a_terminal(filled.folder, "usage", COLUMNS=columns, NO_COLOR="1").splitlines()
        assert max(map(len, lines)) <= int(columns)
        assert "\x1b" not in "".join(lines)
        assert "cost_usd" in lines[0]
        assert {"share", "bar"} <= {*lines[0].split()} if columns == "110" else "bar" not in lines[0]
    assert "█" not in on_a_terminal(
        filled.folder, "usage", "--by", "hour,token", COLUMNS="60", PYTHONIOENCODING="ascii"
    )


def test_a_broken_file_keeps_nobody_from_the_figures_of_a_running_proxy(cli: CommandLine, made: Path) -> None:
    config = cli.folder / "config.yaml"
    write_file(cli.folder, "http://127.0.0.1:9")
    config.write_text(f"{config.read_text()}timezone: Asia/Kolkata\ncurrency: {{code: SEK, usd_rate: 10.5}}\n")
    shutil.copy(made, cli.folder / made.name)
    (cli.folder / made.name).chmod(0o600)
    whole = cli.read("usage", "--by", "day")
    with cli.serving():
        config.write_text(f"{config.read_text()}prvoiders: {{}}\n")
        ran = cli.ok("usage", "--by", "day", "--json")
        assert json.loads(ran.stdout)["rows"] == whole["rows"]
        assert "goes on with the configuration before that" in ran.stderr
    ran = cli.run("usage")
    assert (ran.returncode, "prvoiders" in ran.stderr) == (2, True)
    assert cli.read("usage", "--by", "day", "--db", made.name)["rows"] == whole["rows"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--by", "tag:"), "--by"),
        (("--columns", "colour"), "--columns"),
        (("--columns", "share", "--json"), "--columns are those of a table"),
        (("--top", "0"), "--top"),
    ],
)
def test_mistakes(filled: Commands, arguments: tuple[str, ...], text: str) -> None:
    ran = filled.run("usage", *arguments)
    assert (ran.returncode, text in ran.stderr) == (2, True), ran.stderr


def test_a_currency_without_a_rate_is_said(commands: Commands, tmp_path: Path) -> None:
    path = tmp_path / "tollkeeper.db"
    with ledger(path, currency="SEK", rate="10.5") as connection:
        fill(connection, 5, step_ms=600_000)
    with (commands.folder / "config.yaml").open("a") as config:
        config.write("currency: {code: NOK, ecb_file: gone.xml}\n")
    shutil.copy(path, commands.folder / "tollkeeper.db")
    ran = commands.ok("usage", "--columns", "cost_local")
    assert "Note: what 1 USD cost in NOK is not known for all of this time" in ran.stderr
