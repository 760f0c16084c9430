import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command_line import ROOT, CommandLine, Commands


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    folder = tmp_path / "a folder"
    folder.mkdir(exist_ok=True)
    return CommandLine(folder)


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[str]:
    """Run the simulator as a process; give its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy.simulator"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().removeprefix("simulator ready ").strip()
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


@pytest.fixture
def configured(cli: CommandLine, simulator: str) -> CommandLine:
    """Give a command line with a configuration: the simulator as provider, one user in the file."""
    write_file(cli.folder, simulator)
    return cli


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Give the same without a provider that answers, in this process: for what no proxy needs to run for."""
    folder = tmp_path / "a folder"
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    write_file(folder, "http://127.0.0.1:9", "limits: {cost: $5/day}")
    with (folder / "config.yaml").open("a") as config:
        config.write("presets: {texts: [openai/gpt-4o-mini]}\n")
    return Commands(folder)


def write_file(folder: Path, provider_url: str, anna: str = "") -> None:
    """Write a configuration; anna: further settings of its user."""
    config = folder / "config.yaml"
    config.write_text(
        f"""
providers: {{openrouter: {{base_url: "{provider_url}/api/v1", api_key: sk-or-v1-canary-key}}}}
groups: {{family: {{}}}}
users: {{anna: {{token_hash: "sha256:{"0f" * 32}", group: family{anna and ", "}{anna}}}}}
"""
    )
    config.chmod(0o600)
