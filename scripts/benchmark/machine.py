"""What the kernel says: CPU seconds and memory of a process with its children, cores, names of parts."""

import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_UTIME, _STIME, _PPID = 11, 12, 1  # fields of /proc/PID/stat, counted from the one after the command's ")"
# Settings of whoever starts the bench that users do not have. Unbuffered, Python also loses the rest of a long line
# when a machine is paused while it writes to a pipe.
_HIDDEN = ("TOLLKEEPER_", "OPENROUTER_", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")


class BenchError(Exception):
    """What kept the bench from measuring; the text says what to do."""


def process_tree(pid: int) -> list[int]:
    parents = {int(p.name): _stat(int(p.name)) for p in Path("/proc").iterdir() if p.name.isdigit()}
    tree = [pid]
    for one in tree:  # grows while it is walked
        tree += [child for child, fields in parents.items() if fields and int(fields[_PPID]) == one]
    return tree


def cpu_s(pid: int) -> float:
    """Return user + system seconds of the process tree, all threads that live; by the scheduler's own clock.

    Where the kernel keeps none for people, those of /proc/PID/stat, in steps of 10 ms.
    """
    return sum(_scheduled_s(one) for one in process_tree(pid))


def _scheduled_s(pid: int) -> float:
    try:
        tasks = [int(file.read_text().split()[0]) for file in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    except (FileNotFoundError, ProcessLookupError):  # a thread or all of it ended meanwhile
        tasks = []
    if any(tasks):
        return sum(tasks) / 1e9
    fields = _stat(pid)
    return (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS_PER_S if fields else 0.0


def rss_mb(pid: int) -> float:
    """Give resident memory of the process tree in MB (10^6 bytes); pages shared by two count twice."""
    total_kib = 0
    for one in process_tree(pid):
        for line in Path(f"/proc/{one}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total_kib += int(line.split()[1])
    return total_kib * 1024 / 1e6


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []  # ended meanwhile
    return text.rpartition(")")[2].split()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def two_cores() -> tuple[int, int]:
    """Give the core for the proxy and the one for upstream and load."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError("The bench needs two cores: one for the proxy alone, one for upstream and load.")
    return cores[0], cores[1]


def environment() -> dict[str, str]:
    """Give the environment in which everything is started that is measured or that measures."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_HIDDEN)}


def run_on_core(core: int, command: list[str]) -> str:
    """Run a command on one core to its end and give what it printed; raises BenchError where it fails."""
    pinned = ["taskset", "-c", str(core), *command]
    ran = subprocess.run(pinned, capture_output=True, text=True, check=False, env=environment())
    if ran.returncode != 0:
        raise BenchError(f"{command[0]} failed with {ran.returncode}:\n{(ran.stderr or ran.stdout)[-2000:]}")
    return ran.stdout


@contextmanager
def running_on_core(core: int, command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a command on one core beside what the body does; it is ended with the body if it has not ended before."""
    pinned = ["taskset", "-c", str(core), *command]
    with subprocess.Popen(pinned, stdout=subprocess.PIPE, text=True, env=environment()) as running:
        try:
            yield running
        finally:
            running.kill()


def require_tools() -> None:
    if platform.system() != "Linux":
        raise BenchError("The bench reads /proc and pins processes to cores: it runs on Linux only.")
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # where Debian keeps nginx, and not in every user's PATH
    packages = {"nginx": "nginx-light", "wrk": "wrk", "taskset": "util-linux"}
    missing = [package for tool, package in packages.items() if not shutil.which(tool)]
    if missing:
        raise BenchError(f"Missing on this machine. On Debian and Ubuntu:  apt-get install {' '.join(missing)}")


@cache
def describe() -> dict[str, str]:
    cpu = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    root = Path(__file__).resolve().parents[2]
    commit = _output(["git", "-C", str(root), "rev-parse", "--short", "HEAD"])
    changed = _output(["git", "-C", str(root), "status", "--porcelain", "--", "proxy"])
    return {
        "cpu": f"{cpu}, {os.cpu_count()} cores",
        "system": f"Linux {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "nginx": _output(["nginx", "-v"]).rpartition("/")[2],
        "commit": (commit or "unknown") + (" with changes" if changed else ""),
    }


def _output(command: list[str]) -> str:
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return (ran.stdout or ran.stderr).strip() if ran.returncode == 0 else ""
