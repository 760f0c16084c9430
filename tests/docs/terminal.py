"""A terminal in which the commands of a page are typed: a home, a shell whose state lasts, a simulated provider.

What a reader replaces is replaced here too: ``tk-...`` by the token that was printed last, ``tok_...`` by the last id
of one, ``req_...`` by the first request that was printed last, else the last of the ledger, ``sk-or-...`` by a
provider's key, ports 8787 and 9999 by free ones. A configuration that names OpenRouter without an address gets that of
the simulator.
"""

import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.support.installation import ADMIN_TOKEN, PROVIDER_KEY, _laid_over

from .pages import ROOT

BIN = Path(sys.executable).parent
_TIMEOUT_S = 60.0
# What runs until Ctrl-C, and what it says once it can be used.
_SERVERS = {
    r"(?:\S*/)?tollkeeper serve\b": "Ready in",
    r"\S*tollkeeper demo\b(?!.*--check)": "Ctrl-C ends it",
    r"python -m proxy\.simulator\b": "simulator ready",
}
# Stands in for SQLite's own program where a machine has none.
_SQLITE3 = """\
#!{python}
import sqlite3, sys
arguments = [one for one in sys.argv[1:] if one != "-readonly"]
db = sqlite3.connect(arguments[0], isolation_level=None)
sql = arguments[1] if len(arguments) > 1 else sys.stdin.read()
if sql == ".dump":
    print("\\n".join(db.iterdump()))
elif len(arguments) > 1:
    for row in db.execute(sql):
        print(*("" if one is None else one for one in row), sep="|")
else:
    db.executescript(sql)
"""


@dataclass(frozen=True)
class Ran:
    """One command as it ended, with all that it printed."""

    code: int
    output: str


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Terminal:
    """Types commands into a shell whose folder and variables last; close() ends what still runs."""

    def __init__(self, home: Path, simulator_url: str) -> None:
        self._home = home
        self._work = home / "work"
        self._work.mkdir()
        self._state = home / ".shell-state"
        self._simulator_url = simulator_url
        self._port, self._other_port = free_port(), free_port()
        self._running: list[subprocess.Popen[bytes]] = []
        self._log = home / ".server.log"
        self._seen = {"token": "tk-none", "id": "tok_none"}
        tools = home / ".tools"
        tools.mkdir()
        if shutil.which("sqlite3") is None:
            (tools / "sqlite3").write_text(_SQLITE3.format(python=sys.executable))
            (tools / "sqlite3").chmod(0o755)
        self._environ = {
            "PATH": f"{BIN}:{tools}:{os.environ['PATH']}",
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
            "PYTHONUTF8": "1",
            "NO_COLOR": "1",
            "OPENROUTER_API_KEY": PROVIDER_KEY,
            "OPENROUTER_MANAGEMENT_KEY": f"sk-or-v1-management-{'0' * 40}",
            "TOLLKEEPER_PORT": str(self._port),
            "TOLLKEEPER_ADMIN_TOKEN": ADMIN_TOKEN,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    @property
    def folder(self) -> Path:
        """Return where the shell is now."""
        return self._work if not self._state.exists() else Path((self._home / ".shell-folder").read_text().strip())

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def token(self) -> str:
        return self._seen["token"]

    def type(self, command: str) -> Ran:
        """Run one command as a reader would who has replaced what is to be replaced."""
        command = self.filled_in(command)
        for pattern, ready in _SERVERS.items():
            if re.match(rf"(?:\w+=\S+ )*{pattern}", command):
                return self._start(command, ready)
        keep = (
            f"code=$?; export -p > {shlex.quote(str(self._state))}; "
            f"pwd > {shlex.quote(str(self._home / '.shell-folder'))}; exit $code"
        )
        ran = self._run(["bash", "-c", f"{self._restored()}{command}\n{keep}"], {})
        self._look(ran.output)
        return ran

    def python(self, text: str) -> Ran:
        """Run a program with the variables by which SDKs find the proxy."""
        sdk = {"OPENAI_BASE_URL": f"{self.base_url}/v1", "OPENAI_API_KEY": self.token}
        return self._run([sys.executable, "-c", self.filled_in(text)], sdk)

    def _run(self, command: list[str], more: dict[str, str]) -> Ran:
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env={**self._environ, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output, _ = process.communicate()
                return Ran(124, f"{output}\n(it was still running after {_TIMEOUT_S} s)")
        return Ran(process.returncode, output)

    def apply(self, text: str) -> None:
        """Lay settings over those of the running proxy, and wait until they are in force."""
        path = self._work / "config.yaml"
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        changes = self._log.read_text(encoding="utf-8").count("config.changed")
        path.write_text(yaml.safe_dump(_laid_over(settings, yaml.safe_load(text)), sort_keys=False), encoding="utf-8")
        assert self._says("config.changed", times=changes + 1), self._log.read_text(encoding="utf-8")

    def close(self) -> None:
        for process in self._running:
            process.send_signal(signal.SIGTERM)
        for process in self._running:
            process.wait(_TIMEOUT_S)

    def _restored(self) -> str:
        return f". {shlex.quote(str(self._state))}; " if self._state.exists() else ""

    def filled_in(self, text: str) -> str:
        """Return a text with what a reader replaces replaced."""
        # What the scripts call once they have set up .venv: while tests run in it, nothing may set it up anew.
        text = re.sub(r"(?<![\w/])scripts/demo\b", "tollkeeper demo", text)
        text = re.sub(r"(?<![\w/])scripts/mutations\b(.*)", rf"(cd {ROOT} && python -m tests.mutations\1)", text)
        if re.match(r"tollkeeper demo\b(?!.*--check)", text):
            text += f" --port {self._port}"
        text = text.replace("8787", str(self._port)).replace("9999", str(self._other_port))
        text = re.sub(r"\btk-(\.\.\.|…)", self._seen["token"], text)
        text = re.sub(r"\btok_(\.\.\.|…)", self._seen["id"], text)
        text = re.sub(r"\bsk-or-(\.\.\.|…)", PROVIDER_KEY, text)
        if re.search(r"\breq_(\.\.\.|…)", text):
            text = re.sub(r"\breq_(\.\.\.|…)", self._last_request(), text)
        return text

    def _last_request(self) -> str:
        if "request" in self._seen:
            return self._seen["request"]
        with closing(sqlite3.connect(f"file:{self.folder / 'tollkeeper.db'}?mode=ro", uri=True)) as db:
            (request,) = db.execute("SELECT request_id FROM usage ORDER BY ts DESC, request_id DESC LIMIT 1").fetchone()
            return str(request)

    def _look(self, output: str) -> None:
        for name, pattern in (("token", r"\btk-\w{40,}"), ("id", r"\btok_[0-9a-f]+")):
            found = re.findall(pattern, output)
            if found:
                self._seen[name] = found[-1]
        requests = re.findall(r"\breq_[0-9a-f]{16}\b", output)
        if requests:
            self._seen["request"] = requests[0]  # lists begin with the newest
        self._point_at_simulator()

    def _point_at_simulator(self) -> None:
        for path in {self._work / "config.yaml", self.folder / "config.yaml"}:
            if path.exists() and "base_url" not in (text := path.read_text(encoding="utf-8")):
                address = f"base_url: {self._simulator_url}/api/v1"
                text = re.sub(r"openrouter:\n( +)", rf"openrouter:\n\1{address}\n\1", text, count=1)
                text = re.sub(r"openrouter: ?\{", f"openrouter: {{{address}, ", text, count=1)
                path.write_text(text, encoding="utf-8")

    def _start(self, command: str, ready: str) -> Ran:
        """Start what runs until Ctrl-C, and return once it says that it is ready."""
        self._log = self._home / f".server-{len(self._running)}.log"
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                ["bash", "-c", f"{self._restored()}exec {command}"],
                cwd=self.folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._running.append(process)
        is_ready = self._says(ready, lambda: process.poll() is None)
        output = self._log.read_text(encoding="utf-8")
        self._look(output)
        return Ran(0 if is_ready else 1, output)

    def _says(self, text: str, goes_on: Callable[[], bool] = lambda: True, times: int = 1) -> bool:
        """Wait until the log of what was started last has a text so many times."""
        deadline_s = time.monotonic() + _TIMEOUT_S
        while self._log.read_text(encoding="utf-8").count(text) < times:
            if not goes_on() or time.monotonic() > deadline_s:
                return False
            time.sleep(0.05)
        return True


def commands(block: str) -> list[tuple[str, str]]:
    """Return (command, output that the page shows) of a block of ```console; a command may take several lines."""
    found: list[tuple[str, str]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif found and not found[-1][1] and not _is_whole(found[-1][0]):
            found[-1] = (f"{found[-1][0]}\n{line}", "")
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
        else:
            raise ValueError(f"a line ahead of the first command: {line}")
    return found


def _is_whole(command: str) -> bool:
    checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, check=False)
    return checked.returncode == 0 and not command.endswith("\\")


def is_shown(shown: str, output: str) -> bool:
    """Say whether the output is what a page shows of it, where … stands for any text and blanks for any blanks."""
    pattern = r".*?".join(r"\s+".join(map(re.escape, part.split())) for part in re.split(r"…|\.\.\.", shown))
    return re.search(pattern, " ".join(output.split()), re.DOTALL) is not None
