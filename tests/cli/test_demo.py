"""demo: the whole thing on one machine, without key or network."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import openai
import pytest

from proxy.cli.demo_people import PEOPLE
from tests.cli.command_line import CommandLine


def env_of(folder: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (folder / "demo.env").read_text().splitlines())


def is_answering(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition("/")[0].partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def knows_the_token(env: dict[str, str]) -> bool:
    """Return whether the demo's own proxy answers; its port may be another program's by now."""
    token = env["OPENAI_API_KEY"]
    with openai.OpenAI(base_url=env["OPENAI_BASE_URL"], api_key=token, max_retries=0, timeout=10) as client:
        try:
            return bool(client.models.list().data)
        except openai.OpenAIError:  # nobody is there, or somebody else
            return False


def ready(cli: CommandLine) -> bool:
    return "Ctrl-C ends it." in (cli.folder / "out.log").read_text()


def test_check(cli: CommandLine) -> None:
    ran = cli.ok("demo", "--check", "--dir", "a demo")
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("plain")
    assert lines[1].startswith("streamed")
    assert all("usage.cost" in line for line in lines[:2])
    assert all("settled" in line and "provider" in line for line in lines[3:5])
    assert "to the pico-dollar" in ran.stderr
    assert not is_answering(env_of(cli.folder / "a demo")["SIMULATOR_URL"])
    again = cli.ok("demo", "--check", "--dir", "a demo")
    assert len(again.stdout.splitlines()) == 5  # only its own two rows


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_told_to_stop(cli: CommandLine, number: signal.Signals) -> None:
    folder = cli.folder / "demo"
    with cli.running("demo", "--empty", "--port", "0", ready=lambda: ready(cli)) as process:
        env = env_of(folder)
        assert set(env) == {"OPENAI_BASE_URL", "OPENAI_API_KEY", "TOLLKEEPER_ADMIN_TOKEN", "SIMULATOR_URL"}
        said = (cli.folder / "out.log").read_text()
        assert env["OPENAI_BASE_URL"] in said
        assert env["OPENAI_API_KEY"] in said
        with openai.OpenAI(base_url=env["OPENAI_BASE_URL"], api_key=env["OPENAI_API_KEY"], max_retries=0) as client:
            answer = client.chat.completions.create(model="fast", messages=[{"role": "user", "content": "Hej!"}])
        assert answer.choices[0].message.content
        assert knows_the_token(env)
        process.send_signal(number)
        assert process.wait(60) == 0
    assert not is_answering(env["SIMULATOR_URL"])
    assert not knows_the_token(env)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes["config.yaml"] == modes["demo.env"] == modes["tollkeeper.db"] == 0o600
    assert "demo" in cli.ok("usage", "-c", "demo/config.yaml").stdout


def test_a_second_run_has_the_same_token_and_ledger(cli: CommandLine) -> None:
    cli.ok("demo", "--check")
    first = env_of(cli.folder / "demo")
    cli.ok("demo", "--check")
    second = env_of(cli.folder / "demo")
    assert first["OPENAI_API_KEY"] == second["OPENAI_API_KEY"]
    assert first["TOLLKEEPER_ADMIN_TOKEN"] == second["TOLLKEEPER_ADMIN_TOKEN"]
    total = json.loads(cli.ok("usage", "-c", "demo/config.yaml", "--json").stdout)["total"]
    assert total["requests"] == 4


def test_a_taken_port(cli: CommandLine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = cli.run("demo", "--port", str(port))
    assert ran.returncode == 3
    assert f"Port {port} on 127.0.0.1 is taken" in ran.stderr
    assert f"tollkeeper demo --port {port + 1}" in ran.stderr
    assert not (cli.folder / "demo" / "demo.env").exists()


def test_two_demos_in_one_folder(cli: CommandLine) -> None:
    with cli.running("demo", "--empty", "--port", "0", ready=lambda: ready(cli)):
        before = (cli.folder / "demo" / "config.yaml").read_bytes()
        ran = cli.run("demo", "--empty", "--port", "0")
        assert ran.returncode == 4
        assert "is in use by" in ran.stderr
        assert f"The demo is already running at {env_of(cli.folder / 'demo')['OPENAI_BASE_URL']}" in ran.stderr
        assert (cli.folder / "demo" / "config.yaml").read_bytes() == before


def test_a_configuration_of_somebody_else_is_left_alone(cli: CommandLine) -> None:
    config = cli.folder / "config.yaml"
    config.write_text("server: {port: 1}\n")
    ran = cli.run("demo", "--dir", ".")
    assert ran.returncode == 1
    assert "was not changed" in ran.stderr
    assert config.read_text() == "server: {port: 1}\n"


def test_the_real_key_and_settings_of_the_environment_stay_out(cli: CommandLine) -> None:
    ran = cli.ok(
        "demo", "--check", OPENROUTER_API_KEY="sk-or-v1-canary", TOLLKEEPER_PORT="1", TOLLKEEPER_DATABASE="x.db"
    )
    assert "sk-or-v1-canary" not in ran.stdout + ran.stderr
    assert not (cli.folder / "x.db").exists()
    for path in cli.folder.rglob("*"):
        assert path.is_dir() or b"sk-or-v1-canary" not in path.read_bytes()


def test_without_the_openai_package_check_says_so(cli: CommandLine) -> None:
    shadow = cli.folder / "shadow" / "openai"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("raise ImportError\n")
    paths = f"{cli.folder / 'shadow'}{os.pathsep}{cli.environ['PYTHONPATH']}"
    ran = cli.run("demo", "--check", PYTHONPATH=paths)
    assert ran.returncode == 1
    assert "pip install openai" in ran.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_the_simulator_ends_with_a_demo_that_was_killed(cli: CommandLine) -> None:
    with cli.running("demo", "--empty", "--port", "0", ready=lambda: ready(cli)) as process:
        url = env_of(cli.folder / "demo")["SIMULATOR_URL"]
        assert is_answering(url)
        process.kill()
        process.wait(60)
        deadline_s = time.monotonic() + 30
        while is_answering(url):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
    cli.ok("demo", "--check")  # what the kill left is no obstacle


def test_env_file_is_one_that_shells_read(cli: CommandLine) -> None:
    cli.ok("demo", "--check", "--dir", "a demo")
    ran = subprocess.run(
        ["sh", "-c", 'set -a; . "./a demo/demo.env"; printenv OPENAI_API_KEY'],
        cwd=cli.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == env_of(cli.folder / "a demo")["OPENAI_API_KEY"]


def test_it_begins_with_weeks_that_both_books_agree_on(cli: CommandLine) -> None:
    config = ("-c", "demo/config.yaml")

    def figures(command: str) -> Any:
        return json.loads(cli.ok(*command.split(), *config, "--json").stdout)

    with cli.running("demo", "--port", "0", "--timezone", "Asia/Tokyo", ready=lambda: ready(cli)):
        said = (cli.folder / "out.log").read_text()
        assert "They are made up" in said
        before = figures("usage --by user")
        spent = {row["user"]: row["requests"] for row in before["rows"]}
        assert {*spent} == {person.name for person in PEOPLE}
        assert min(spent.values()) > 100
        assert before["total"]["errors"] > 20
        assert "Everything adds up." in cli.ok("audit", "check", *config).stdout
        days = figures("reconcile")
        assert {one["name"] for one in days["classes"] if one["amount_pusd"]} == {"outside_call", "pending"}, days
        status = figures("status")
        assert [stop["subject"] for stop in status["stops"]] == ["summaries"]
        assert {alert["subject"].partition(" ")[0] for alert in status["alerts"]} == {"user:mia", "user:jonas"}
        assert status["providers"]["groq"]["breaker"]["state"] == "open"
        assert figures("adjustments list")
        tokens = json.loads((cli.folder / "demo" / "weeks.json").read_text())["tokens"]
        env = env_of(cli.folder / "demo")
        assert knows_the_token({**env, "OPENAI_API_KEY": tokens["anna"]["token"]})
        assert (cli.folder / "demo" / "weeks.json").stat().st_mode & 0o777 == 0o600
    with cli.running("demo", "--port", "0", ready=lambda: ready(cli)):  # the same weeks, the same bill
        again = figures("usage --by user")
        assert {row["user"]: row["requests"] for row in again["rows"]}["anna"] >= spent["anna"]
        assert "Asia/Tokyo" in (cli.folder / "demo" / "config.yaml").read_text()
        assert {one["name"] for one in figures("reconcile")["classes"]} >= {"outside_call"}


def test_a_zone_that_is_none(cli: CommandLine) -> None:
    ran = cli.run("demo", "--timezone", "Middle/Earth")
    assert ran.returncode == 2
    assert "is not a time zone" in ran.stderr
    assert not (cli.folder / "demo").exists()


def test_its_answers_greet_and_its_hints_work_as_printed(cli: CommandLine) -> None:
    """Each hint is run by a shell; the guest meets a refusal, and the last command tells who spent what."""
    with cli.running("demo", "--empty", "--port", "0", ready=lambda: ready(cli)):
        said = (cli.folder / "out.log").read_text()
        first = said[said.index("  curl ") : said.index("  # your code")]
        greeting = shell(cli, first)
        assert "Hello! I am a simulated model" in greeting
        loop = said[said.index("  for n in") : said.index("  # who spent")]
        answers = shell(cli, loop)
        assert 2 <= answers.count("I am a simulated model") <= 7
        assert "insufficient_quota" in answers
        assert "daily budget of user" in answers
        usage = next(line for line in said.splitlines() if " usage --by " in line)
        shown = shell(cli, usage)
        assert "guest" in shown
        assert "demo" in shown
        assert "/\n" in said[said.index("In a browser: ") :]


def shell(cli: CommandLine, line: str) -> str:
    """Run a line as a person would, with nothing of ours on the PATH."""
    return subprocess.run(
        ["sh", "-c", line],
        cwd=cli.folder.parent,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(cli.folder), "PYTHONPATH": cli.environ["PYTHONPATH"]},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
