"""A simulated provider for the pages, and a terminal for each of them."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .pages import ROOT
from .terminal import Terminal


@pytest.fixture(scope="module")
def simulator() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy.simulator", "--port", "0", "--friendly"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield process.stdout.readline().split()[-1]
    process.terminate()
    process.wait(30)
    process.stdout.close()


@pytest.fixture
def terminal(simulator: str) -> Iterator[Terminal]:
    with tempfile.TemporaryDirectory(prefix="pages") as home:  # short: the name of a Unix socket has 107 characters
        terminal = Terminal(Path(home), simulator)
        yield terminal
        terminal.close()
