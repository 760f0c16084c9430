"""Sync days with the bill, each time killed at another write, then begun again: a process of its own.

python sync_child.py FOLDER POINTS: copies FOLDER (a configuration, a ledger, days.json) for each point to FOLDER-n,
kills the first sync there at its n-th write (before or right after it; 0: never), syncs again, and writes what is
booked to FOLDER-n/second.json.
"""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

from proxy.app import App
from proxy.config.load import load_file
from proxy.storage.sqlite.writer import Writer
from tests.support.installation import token_of
from tests.support.raw import ask

_write = Writer._transaction


class Kill:
    """Kills this process at its n-th write, counted from when it is armed."""

    def __init__(self, at: int) -> None:
        self.at, self.count, self.is_armed = at, 0, False

    def write(self, writer: Writer, operations: list[Any]) -> Any:
        """Stand for Writer._transaction."""
        if not operations:
            return _write(writer, operations)
        self._step()
        found = _write(writer, operations)
        self._step()
        return found

    def _step(self) -> None:
        self.count += self.is_armed
        if self.is_armed and self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


async def sync(folder: Path, kill: Kill) -> dict[str, Any]:
    """Run a proxy, compare all days, and return what is booked and counted then."""

    def load() -> Any:
        return load_file(folder / "config.yaml", {})

    def write(writer: Writer, operations: list[Any]) -> Any:
        return kill.write(writer, operations)

    Writer._transaction = write  # type: ignore[method-assign, assignment]
    app = App(load)
    await app.start(load())
    kill.is_armed = True
    for day in json.loads((folder / "days.json").read_text()):
        await app.sync.sync("openrouter", date.fromisoformat(day))
    kill.is_armed = False
    used: dict[str, int] = {}
    for user in ("anna", "bob"):
        answer = await ask(app.port, "GET", "/v1/me/limits", token=token_of(user))
        used |= {row["scope"]: row["used_pusd"] for row in answer.json()["limits"]}
    await app.close()
    return {"used": used, **booked(folder / "ledger.db")}


def booked(path: Path) -> dict[str, Any]:
    """Return what the file holds."""
    queries = {
        "hours": "SELECT user, hour_ms, sum(cost_pusd) FROM usage_hourly GROUP BY 1, 2 ORDER BY 1, 2",
        "adjustments": "SELECT request_id, reference, sum(amount_pusd) FROM adjustments GROUP BY 1, 2 ORDER BY 1, 2",
        "settled": "SELECT replace(state, 'released', 'settled'), count(*) FROM requests GROUP BY 1",
        "twice": "SELECT request_id, reference FROM adjustments GROUP BY 1, 2 HAVING count(*) > 1",
        "classes": "SELECT day, class, amount_pusd, number FROM reconciliations ORDER BY 1, 2",
        "days": "SELECT day, booked_pusd, billed_pusd, is_final FROM reconciled_days ORDER BY 1",
    }
    with closing(sqlite3.connect(path)) as connection:
        return {name: [list(row) for row in connection.execute(query)] for name, query in queries.items()}


def run(folder: Path, name: str, kill: Kill) -> int:
    """Sync in a fork, and return its exit code."""
    child = os.fork()
    if not child:
        state = asyncio.run(sync(folder, kill))
        (folder / f"{name}.json").write_text(json.dumps({**state, "writes": kill.count}))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: Path, points: list[int]) -> None:
    for point in points:
        copy = folder.with_name(f"{folder.name}-{point}")
        shutil.copytree(folder, copy)
        first = run(copy, "first", Kill(point))
        if first != -signal.SIGKILL:  # other writes came in one group with its own: there are fewer this time
            assert first == 0, first
            assert json.loads((copy / "first.json").read_text())["writes"] < point or not point
        assert run(copy, "second", Kill(0)) == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), [*map(int, sys.argv[2].split(","))])
