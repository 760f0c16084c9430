"""The command line as people and scripts use it: real processes, real files, real sockets."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from proxy.cli import tollkeeper
from proxy.core.errors import SetupError

ROOT = Path(__file__).resolve().parents[2]
START_S = 20.0  # a busy machine; it takes a fraction of a second

Ran = subprocess.CompletedProcess[str]


class CommandLine:
    """Runs commands in a folder of their own, with nothing of the tester's environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error",
            "PYTHONUTF8": "1",
        }

    def run(self, *arguments: str, stdin: str | None = None, **more: str) -> Ran:
        return subprocess.run(
            [sys.executable, "-m", "proxy", *arguments],
            cwd=self.folder,
            env={**self.environ, **more},
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def ok(self, *arguments: str, **more: str) -> Ran:
        ran = self.run(*arguments, **more)
        assert ran.returncode == 0, ran.stderr
        return ran

    def read(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "--json").stdout)

    @contextmanager
    def running(self, *arguments: str, ready: Callable[[], bool], **more: str) -> "Iterator[subprocess.Popen[str]]":
        """Run a command until the block ends, then SIGTERM; what it said lies in out.log and err.log."""
        with (self.folder / "out.log").open("w") as out, (self.folder / "err.log").open("w") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "proxy", *arguments],
                cwd=self.folder,
                env={**self.environ, **more},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                text=True,
            )
            try:
                self._wait(process, ready)
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                process.wait(60)

    def _wait(self, process: "subprocess.Popen[str]", ready: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + START_S
        while not ready():
            assert process.poll() is None, (self.folder / "err.log").read_text()
            assert time.monotonic() < deadline_s, "it did not start"
            time.sleep(0.02)

    def serving(self, **more: str) -> "Any":
        """Run serve on a free port; ready when it says so."""
        return self.running("serve", "--port", "0", ready=lambda: "Ready in" in self.said(), **more)

    def said(self) -> str:
        return (self.folder / "err.log").read_text()

    def base_url(self) -> str:
        """Give where the running proxy answers, as it says itself."""
        return self.said().partition("OPENAI_BASE_URL=")[2].split()[0]


class Commands(CommandLine):
    """Runs commands in this process, each like a process of its own but for its start: for where no proxy runs."""

    def run(self, *arguments: str, stdin: str | None = None, **more: str) -> Ran:
        assert not more
        with contextlib.chdir(self.folder):
            ran = CliRunner().invoke(tollkeeper, arguments, input=stdin or "", prog_name="tollkeeper")
        code, stderr = ran.exit_code, ran.stderr
        if isinstance(ran.exception, SetupError):
            code, stderr = ran.exception.exit_code, f"{stderr}tollkeeper: {ran.exception}\n"
        elif ran.exception is not None and not isinstance(ran.exception, SystemExit):
            raise ran.exception
        return Ran(list(arguments), code, ran.stdout, stderr)
