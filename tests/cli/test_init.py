"""init: from nothing to a proxy that answers the official client."""

import os
import pty
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import httpx
import openai
import pytest

from proxy.config.load import load_file
from proxy.config.provider import BASE_URLS
from proxy.core.user_token import is_well_formed
from tests.cli.command_line import CommandLine, Commands

KEY = "sk-or-v1-canary"


def test_init_then_serve_then_the_openai_package(cli: CommandLine, simulator: str) -> None:
    ran = cli.ok("init", "--no-test", "--yes", "--user", "ann", OPENROUTER_API_KEY=KEY)
    token = ran.stdout.strip()
    assert is_well_formed(token)
    assert "tollkeeper serve" in ran.stderr
    config = cli.folder / "config.yaml"
    config.write_text(
        config.read_text().replace("  openrouter:\n", f"  openrouter:\n    base_url: {simulator}/api/v1\n")
    )
    with (
        cli.serving(OPENROUTER_API_KEY=KEY),
        openai.OpenAI(base_url=cli.base_url(), api_key=token, max_retries=0) as client,
    ):
        answer = client.chat.completions.create(
            model="openai/gpt-5-mini", messages=[{"role": "user", "content": "Hej!"}]
        )
        assert answer.choices[0].message.content
    db = sqlite3.connect(cli.folder / "tollkeeper.db")
    assert db.execute("SELECT user, state, cost_source FROM usage").fetchall() == [("ann", "settled", "provider")]
    db.close()
    assert "ann" in cli.ok("usage", OPENROUTER_API_KEY=KEY).stdout


def test_the_key_of_the_environment_stays_there(cli: CommandLine) -> None:
    cli.ok("init", "--no-test", "--yes", OPENROUTER_API_KEY=KEY)
    for path in cli.folder.iterdir():
        assert KEY.encode() not in path.read_bytes(), path
    assert "api_key: ${OPENROUTER_API_KEY}" in (cli.folder / "config.yaml").read_text()


@pytest.mark.parametrize("option", ["-", "the key"])
def test_a_key_from_a_file_or_stdin_is_kept_in_a_private_file(cli: CommandLine, option: str) -> None:
    (cli.folder / "the key").write_text(f"  {KEY}\n")
    cli.ok("init", "--no-test", "--dir", "new", "--key-file", option, stdin=f"{KEY}\n" if option == "-" else "")
    folder = cli.folder / "new"
    assert (folder / "openrouter.key").read_text().strip() == KEY
    assert KEY not in (folder / "config.yaml").read_text()
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    key = load_file(folder / "config.yaml", {}).settings.providers["openrouter"].api_key
    assert key is not None
    assert key.reveal() == KEY


def test_the_configuration_fits_one_screen_and_has_its_schema(cli: CommandLine) -> None:
    cli.ok("init", "--no-test", OPENROUTER_API_KEY=KEY)
    lines = (cli.folder / "config.yaml").read_text().splitlines()
    assert lines[0] == "# yaml-language-server: $schema=./config.schema.json"
    assert len(lines) <= 24
    assert max(len(line) for line in lines) <= 100
    assert (cli.folder / "config.schema.json").read_text().startswith("{")
    assert cli.run("check", "--offline", OPENROUTER_API_KEY=KEY).returncode == 0


def test_check_mentions_an_older_name_of_a_setting(cli: CommandLine) -> None:
    cli.ok("init", "--no-test", OPENROUTER_API_KEY=KEY)
    config = cli.folder / "config.yaml"
    config.write_text(config.read_text().replace("port: 8787", "port: 8787, lane: true"))
    ran = cli.run("check", "--offline", OPENROUTER_API_KEY=KEY)
    assert ran.returncode == 0
    assert "server.lane: is now called fast_path. The older name still works." in ran.stdout


def test_the_lines_that_are_comments_are_valid_too(cli: CommandLine) -> None:
    cli.ok("init", "--no-test", OPENROUTER_API_KEY=KEY)
    config = cli.folder / "config.yaml"
    text = config.read_text().replace("# presets", "presets").replace("# defaults", "defaults")
    config.write_text(text.replace("#   ", "  ").replace("# management", "management"))
    settings = load_file(config, {"OPENROUTER_API_KEY": KEY, "OPENROUTER_MANAGEMENT_KEY": "m"}).settings
    assert settings.presets["fast"].targets
    assert settings.defaults.limits.of("cost")


def test_nothing_is_overwritten_without_force(cli: CommandLine) -> None:
    first = cli.ok("init", "--no-test", "--key-file", "-", stdin=KEY).stdout
    before = {path.name: path.read_bytes() for path in cli.folder.iterdir()}
    ran = cli.run("init", "--key-file", "-", stdin="sk-or-v1-other")
    assert ran.returncode == 1
    assert "--force" in ran.stderr
    assert {path.name: path.read_bytes() for path in cli.folder.iterdir()} == before
    second = cli.ok("init", "--no-test", "--force", "--key-file", "-", stdin="sk-or-v1-other").stdout
    assert first != second
    assert (cli.folder / "openrouter.key").read_text().strip() == "sk-or-v1-other"
    assert len(cli.read("tokens", "list")) == 2  # the ledger, its user and the first token were kept


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("", "holds no key"),
        ("two words", "holds no key"),
        ("ключ", "holds no key"),
        ("x" * 600, "holds no key"),
        ("tk-canary", "holds a token of Tollkeeper"),
    ],
)
def test_what_is_no_key(cli: CommandLine, key: str, text: str) -> None:
    ran = cli.run("init", "--key-file", "-", stdin=key)
    assert ran.returncode == 1
    assert text in ran.stderr
    assert not key or key not in ran.stderr
    assert list(cli.folder.iterdir()) == []


def test_without_a_key_and_a_terminal_it_says_what_to_do(cli: CommandLine) -> None:
    for options in ((), ("--yes",)):
        ran = cli.run("init", *options)
        assert ran.returncode == 1
        assert "OPENROUTER_API_KEY" in ran.stderr
        assert "--key-file" in ran.stderr
    assert list(cli.folder.iterdir()) == []


def test_a_failure_leaves_nothing_behind(cli: CommandLine) -> None:
    ran = cli.run("init", "--user", "no blanks", OPENROUTER_API_KEY=KEY)
    assert ran.returncode == 1
    assert "cannot be the name" in ran.stderr
    assert not (cli.folder / "config.yaml").exists()
    cli.ok("init", "--no-test", "--user", "ann", OPENROUTER_API_KEY=KEY)


def test_it_says_what_the_key_may_do(cli: CommandLine, simulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Commands(cli.folder)
    good = (
        "openrouter: it accepts the key main; no limit of its own",
        "openrouter: Credits, the account's keys and its bill were not asked for",
    )
    for folder, url, said in (
        ("good", simulator, good),
        ("offline", "http://127.0.0.1:9", ("What the key may do, it says then: tollkeeper doctor openrouter",)),
    ):
        monkeypatch.setitem(BASE_URLS, "openrouter", f"{url}/api/v1")
        ran = here.run("init", "--dir", folder, "--user", "ann", "--key-file", "-", stdin=KEY)
        assert ran.returncode == 0
        assert is_well_formed(ran.stdout.strip())
        assert all(each in " ".join(ran.stderr.split()) for each in said)
        assert "tollkeeper serve" in ran.stderr
        assert all(len(line) <= 80 for line in ran.stderr.splitlines() if line.startswith("openrouter"))
    httpx.post(f"{simulator}/_sim/behaviour", json={"for": "path:/key", "error": "user-not-found"}, trust_env=False)
    monkeypatch.setitem(BASE_URLS, "openrouter", f"{simulator}/api/v1")
    refused = here.run("init", "--dir", "refused", "--key-file", "-", stdin=KEY)
    assert refused.returncode == 0
    assert "It does not know the key main: it is wrong, expired or deleted." in " ".join(refused.stderr.split())
    assert "accepts" not in refused.stderr
    silent = here.run("init", "--force", "--dir", "refused", "--no-test", "--key-file", "-", stdin=KEY)
    assert "know the key" not in silent.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_on_a_terminal_it_asks_and_does_not_show_the_key(cli: CommandLine) -> None:
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "proxy", "init", "--no-test"],
        cwd=cli.folder,
        env={**cli.environ, "TERM": "dumb"},
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=slave,
        start_new_session=True,
    ) as process:
        os.close(slave)
        shown = _read_until(master, b"(not shown)")
        time.sleep(0.3)  # the terminal's echo is switched off after the question was written
        os.write(master, KEY.encode() + b"\n")
        for _ in range(2):  # what each, and what all may spend
            shown += _read_until(master, b"no limit)")
            os.write(master, b"\n")
        assert process.stdout is not None
        token = process.stdout.read().decode().strip()
        shown += _read_rest(master)
    os.close(master)
    assert process.returncode == 0, shown
    assert is_well_formed(token)
    assert KEY.encode() not in shown
    assert (Path(cli.folder) / "openrouter.key").read_text().strip() == KEY


def _read_until(descriptor: int, text: bytes) -> bytes:
    shown = b""
    while text not in shown:
        shown += os.read(descriptor, 4096)
    return shown


def _read_rest(descriptor: int) -> bytes:
    shown = b""
    try:
        while piece := os.read(descriptor, 4096):
            shown += piece
    except OSError:  # Linux: nobody holds the other end any more
        pass
    return shown
