"""What holds the interpreter of a proxy while somebody looks at a long ledger: who made a thread that woke wait for it.

    PYTHONPATH=. python scripts/benchmark/loop_lag.py FOLDER [JOB …]

Runs the proxy in this process on the ledger of FOLDER, which beside.py makes, and the JOBs of JOBS below, or all, in
others. Meanwhile a thread here wakes every millisecond, as the event loop does for a request, and takes down how long
it then waited for the interpreter, and where the other threads were. What it waited for a processor does not count
where the system tells it (Linux), nor more than this process has computed meanwhile: so a busy machine matters little.

Prints one JSON object by job: seconds, loop_worst_ms (how late a timer of the event loop came at worst, for whatever
reason), waits (how many of more than LONG_MS), lost_ms (all they came to), worst_ms, and
places, the worst first: file, line and function of the other threads, waits, and the longest.
"""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

from beside import AccountUpstream, LongLedger
from machine import environment
from systems import Service, Upstream

from proxy.app import App
from proxy.app.collector import tune_collector
from proxy.app.switch_interval import shorten_switch_interval
from proxy.cli.admin_client import admin_client
from proxy.cli.logs import set_up_logs
from proxy.cli.settings import loader

_ROOT = Path(__file__).resolve().parents[2]
_TICK_S = 0.001
LONG_MS = 0.75
_PLACES = 12
_FRAMES = 4
_IDLE = frozenset({"wait", "_worker", "select", "_do_waitpid", "_next_group"})
_TODAY = datetime.now(UTC).date()
_DAYS = [str(_TODAY - timedelta(days=back)) for back in (1, 8, 30)]
JOBS: dict[str, tuple[str, ...]] = {
    "nothing": ("sleep",),
    "sync": ("sync", "--from", _DAYS[1], "--to", _DAYS[0]),
    "models stats": ("models", "stats", "--since", "all", "--json"),
    "usage": ("GET", "/usage?by=user,month"),
    "usage of rows": ("GET", "/usage?by=token"),
    "usage by day": ("GET", "/usage?by=day,user,model"),
    "requests": ("GET", "/requests?limit=1000"),
    "report": ("report", _DAYS[2][:7]),
    "account": ("account", "--json"),
    "attention": ("GET", "/attention"),
    "reconcile": ("reconcile", "--explain", "--json"),
}


@dataclass
class Place:
    waits: int = 0
    worst_ms: float = 0.0
    lost_ms: float = 0.0


@dataclass
class Watch:
    """A thread that wakes again and again, and what it has waited for."""

    waits: int = 0
    lost_ms: float = 0.0
    worst_ms: float = 0.0
    places: defaultdict[str, Place] = field(default_factory=lambda: defaultdict(Place))
    _ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        own = threading.get_ident()
        queue = _run_queue()
        while not self._ended.is_set():
            before_ms, cpu_s, due = queue(), time.process_time(), time.perf_counter() + _TICK_S
            time.sleep(_TICK_S)
            late_ms = (time.perf_counter() - due) * 1000 - (queue() - before_ms)
            late_ms = min(late_ms, (time.process_time() - cpu_s) * 1000)  # else who held it did not run either
            if late_ms > LONG_MS:
                self._note(late_ms, own)

    def _note(self, late_ms: float, own: int) -> None:
        self.waits += 1
        self.lost_ms += late_ms
        self.worst_ms = max(self.worst_ms, late_ms)
        busy = [_place(frame) for thread, frame in sys._current_frames().items() if thread != own]  # noqa: SLF001
        place = self.places[" | ".join(sorted(one for one in busy if one)) or "the event loop waits"]
        place.waits += 1
        place.lost_ms += late_ms
        place.worst_ms = max(place.worst_ms, late_ms)


async def lateness_ms(ended: asyncio.Event) -> float:
    """Return how late a timer of the event loop came at worst."""
    loop, worst_s = asyncio.get_running_loop(), 0.0
    while not ended.is_set():
        due_s = loop.time() + _TICK_S
        await asyncio.sleep(_TICK_S)
        worst_s = max(worst_s, loop.time() - due_s)
    return worst_s * 1000


def _run_queue() -> Callable[[], float]:
    """Return what tells how many milliseconds this thread has waited for a processor."""
    path = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    if not path.exists():
        return lambda: 0.0
    file = path.open("rb", buffering=0)

    def waited_ms() -> float:
        file.seek(0)
        return int(file.read().split()[1]) / 1e6

    return waited_ms


def _place(frame: FrameType) -> str:
    """Return where a thread is: in its own words, and in which of ours it was called; "" where it waits for work."""
    if frame.f_code.co_name in _IDLE:
        return ""
    words: list[str] = []
    at: FrameType | None = frame
    while at is not None and len(words) < _FRAMES:
        code = at.f_code
        words.append(f"{'/'.join(Path(code.co_filename).parts[-2:])}:{at.f_lineno} {code.co_name}")
        at = at.f_back
    return " < ".join(words)


def command(words: tuple[str, ...], config: Path) -> list[str]:
    if words[0] == "sleep":
        return ["sleep", "5"]
    if words[0] == "GET":
        return [sys.executable, __file__, "ask", str(config), words[1]]
    return [sys.executable, "-m", "proxy", *words, "-c", str(config)]


async def run(config: Path, jobs: dict[str, tuple[str, ...]]) -> dict[str, object]:
    load = loader(config, {})
    loaded = load()
    app = App(load, set_up_logs(loaded.settings.log.level, loaded.settings.log.format))
    await app.start(loaded)
    tune_collector()
    shorten_switch_interval()
    found: dict[str, object] = {}
    env = {**environment(), "PYTHONPATH": str(_ROOT)}
    await asyncio.sleep(15)  # what a start does later
    for name, words in jobs.items():
        process = await asyncio.create_subprocess_exec(
            *command(words, config), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        began_s, cpu_s, watch = time.perf_counter(), time.process_time(), Watch()
        ended = asyncio.Event()
        timer = asyncio.ensure_future(lateness_ms(ended))
        _, told = await process.communicate()
        ended.set()
        loop_worst_ms = await timer
        watch.end()
        if process.returncode:
            sys.stderr.write(f"{name} ended with {process.returncode}: {told.decode(errors='replace')[-800:]}\n")
        worst = sorted(watch.places.items(), key=lambda one: -one[1].lost_ms)[:_PLACES]
        found[name] = {
            "seconds": round(time.perf_counter() - began_s, 1),
            "cpu_seconds": round(time.process_time() - cpu_s, 2),
            "loop_worst_ms": round(loop_worst_ms, 1),
            "waits": watch.waits,
            "lost_ms": round(watch.lost_ms, 1),
            "worst_ms": round(watch.worst_ms, 1),
            "places": [f"{one.waits} x, {one.lost_ms:.1f} ms, worst {one.worst_ms:.1f}: {at}" for at, one in worst],
        }
    await app.drain()
    await app.close()
    return found


def main(folder: str, only: list[str]) -> None:
    place = Path(folder).resolve()
    upstream = Upstream(place, "0-1", events=1, interval_ms=1)
    account = AccountUpstream(place, place / "ledger.db")
    proxy = LongLedger(place, upstream, account)
    if not proxy.ledger.exists():
        raise SystemExit(f"{proxy.ledger} is not there: beside.py makes it.")
    services: list[Service] = [upstream, account]
    try:
        for service in services:
            service.start()
        jobs = {name: words for name, words in JOBS.items() if name in only or not only}
        print(json.dumps(asyncio.run(run(proxy.config, jobs)), indent=1))
    finally:
        for service in reversed(services):
            service.stop()


def ask(config: str, path: str) -> None:
    with admin_client(loader(Path(config), {})().settings, "loop_lag") as api:
        json.dump(api.get(path), sys.stdout)


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        ask(*sys.argv[2:])
    else:
        main(sys.argv[1], sys.argv[2:])
