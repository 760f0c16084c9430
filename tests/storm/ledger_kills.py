"""SIGKILLs of a process that only writes the ledger: what it acknowledged must be there, once, and add up."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from .compare import Difference
from .ledger_child import write_until_killed
from .views import LedgerView

_KILLS_A_FILE = 100  # then a new ledger: each comparison reads the whole file
_START_MAX_S = 30.0  # to the first acknowledgement of a writer
_KILL_AFTER_MAX_S = 0.06  # opening takes about 0.01 s, so that some kills fall into it
_TEXTS_MAX = 20

Say = Callable[[int, str], None]


@dataclass(slots=True)
class KillOutcome:
    seed: int
    kills: int = 0
    acknowledged: int = 0
    rows: int = 0
    taken_up: int = 0
    files: int = 0
    took_s: float = 0.0
    differences: list[Difference] = field(default_factory=list)


@dataclass(slots=True)
class Acknowledged:
    """What the children said was on disk, over all runs on one file."""

    opened: set[int] = field(default_factory=set)
    ended: dict[int, tuple[int, str]] = field(default_factory=dict)  # id -> (cost, source)
    refused: list[str] = field(default_factory=list)
    twice: list[int] = field(default_factory=list)

    def hear(self, lines: bytes) -> None:
        """Take the whole lines that one child wrote; a last one that the kill cut off was never said."""
        for line in lines.decode().split("\n")[:-1]:
            kind, _, rest = line.partition(" ")
            if kind == "o":
                self.opened.add(int(rest))
            elif kind == "x":
                self.refused.append(rest)
            else:
                id_, cost = (int(word) for word in rest.split())
                if id_ in self.ended:
                    self.twice.append(id_)
                self.ended[id_] = cost, "provider" if kind == "e" else "reservation"


def kill_ledger_writers(seed: int, kills: int, folder: Path, say: Say) -> KillOutcome:
    """Kill as many writers, one after the other. Call it from a process without other threads: it forks."""
    rng = Random(seed)
    outcome = KillOutcome(seed)
    begun_s = time.monotonic()
    path, heard = folder / "ledger-0.db", Acknowledged()
    for number in range(kills):
        if number % _KILLS_A_FILE == 0:
            path, heard = folder / f"ledger-{number // _KILLS_A_FILE}.db", Acknowledged()
            outcome.files += 1
        heard.hear(_kill_one(path, rng.randrange(2**32), rng.uniform(0, _KILL_AFTER_MAX_S), number % 2 == 1))
        outcome.kills += 1
        last = number + 1 == kills or (number + 1) % _KILLS_A_FILE == 0
        if last or rng.random() < 0.1:
            rows = _check(path, heard, outcome.differences)
            if last:
                outcome.rows += rows
                outcome.acknowledged += len(heard.opened) + len(heard.ended)
                outcome.taken_up += sum(source == "reservation" for _, source in heard.ended.values())
                _remove(path)
        say(outcome.kills, f"{len(outcome.differences)} differences")
    outcome.took_s = time.monotonic() - begun_s
    return outcome


def _kill_one(path: Path, seed: int, after_s: float, is_at_work: bool) -> bytes:
    """Start a writer, kill it after_s later, and give what it had acknowledged.

    is_at_work: the time runs from its first acknowledgement, so that a busy machine kills writers at work too.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            write_until_killed(path, writing, seed)
        finally:
            os._exit(1)
    os.close(writing)
    heard = bytearray()
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        os.set_blocking(pipe.fileno(), False)
        deadline_s = time.monotonic() + (_START_MAX_S if is_at_work else after_s)
        while (left_s := deadline_s - time.monotonic()) > 0:
            got = pipe.read()  # so that a full pipe never holds the writer up
            if got == b"":  # it ended by itself
                break
            if is_at_work and got and not heard:
                deadline_s = time.monotonic() + after_s
            heard += got or b""
            time.sleep(min(left_s, 0.005))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.set_blocking(pipe.fileno(), True)
        while more := pipe.read(1 << 16):
            heard += more
    return bytes(heard)


def _check(path: Path, heard: Acknowledged, differences: list[Difference]) -> int:
    """Hold the file against all that was acknowledged on it; give its rows. It is opened as any reader would."""
    if not heard.opened:  # killed before the first commit; there may be no table yet
        return 0
    with LedgerView(path) as ledger:
        differences += [Difference(path.name, text) for text in disagreements(heard, ledger)][:_TEXTS_MAX]
        return len(ledger.rows)


def disagreements(heard: Acknowledged, ledger: LedgerView) -> list[str]:
    """Say what was acknowledged and is not there, or is there twice, or does not add up."""
    found = [f"integrity_check: {text}" for text in ledger.damage()]
    found += [f"refused: {text}" for text in heard.refused]
    found += [f"{id_}: its end was acknowledged twice" for id_ in heard.twice]
    rows = {int(row["session_id"]): row for row in ledger.rows}
    if len(rows) != len(ledger.rows):
        found.append(f"{len(ledger.rows)} rows for {len(rows)} requests")
    found += [f"{id_}: acknowledged as opened, not there" for id_ in sorted(heard.opened - rows.keys())]
    for id_, (cost, source) in heard.ended.items():
        row = rows.get(id_)
        if row is None:
            found.append(f"{id_}: acknowledged as settled, not there")
        elif (row["state"], row["cost_pusd"], row["cost_source"]) != ("settled", cost, source):
            found.append(
                f"{id_}: acknowledged at {cost} from {source}, is {row['state']} at {row['cost_pusd']}"
                f" from {row['cost_source']}"
            )
    for id_, row in rows.items():
        attempts = ledger.attempts_of[row["request_id"]]
        if [attempt["cost_pusd"] for attempt in attempts] != [row["cost_pusd"]]:
            found.append(f"{id_}: costs {row['cost_pusd']}, its attempts {[a['cost_pusd'] for a in attempts]}")
    if ledger.rollup() != ledger.rollup_of_rows():
        found.append("usage_hourly is not the sum of the rows")
    return found


def _remove(path: Path) -> None:
    for part in path.parent.glob(f"{path.name}*"):
        part.unlink()
