"""Connections that are always busy: wrk asks as quickly as it is answered."""

from dataclasses import dataclass
from pathlib import Path

from machine import BenchError, run_on_core

_SCRIPT = Path(__file__).with_name("chat.lua")


@dataclass(frozen=True)
class Answered:
    """What wrk got answered, in how many seconds, and how many requests failed."""

    requests: int
    seconds: float
    failed: int


def keep_busy(
    core: int, port: int, asked: tuple[str, str], *, connections: int, seconds: int, headers: tuple[str, ...] = ()
) -> Answered:
    """Ask with asked = (token, model) over so many connections; headers, each "Name: value", go with each request."""
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        "20s",
        "-s",
        str(_SCRIPT),
        f"http://127.0.0.1:{port}",
        "--",
    ]
    output = run_on_core(core, [*command, *asked, *headers])
    line = next((one for one in output.splitlines() if one.startswith("BENCH ")), None)
    if line is None:
        raise BenchError(f"wrk did not end as it should:\n{output[-2000:]}")
    answered, not_2xx, broken, took_s = line.split()[1:]
    return Answered(int(answered), float(took_s), int(not_2xx) + int(broken))
