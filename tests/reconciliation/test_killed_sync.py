"""A sync that is killed at a write, before it or right after it, and begun again, comes to what it would have."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.reconciliation.month import month_before
from tests.reconciliation.test_month import MORE, plant_rows, today
from tests.support import sampling
from tests.support.installation import settings, write_config
from tests.support.stand import simulator

CHILD = Path(__file__).with_name("sync_child.py")
ROOT = Path(__file__).parents[2]


def ran(folder: Path, points: list[int]) -> dict[int, dict[str, Any]]:
    """Return what is booked after a kill at each point and a second sync."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, str(CHILD), str(folder), ",".join(map(str, points))]
    done = subprocess.run(arguments, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {n: json.loads((folder.with_name(f"{folder.name}-{n}") / "second.json").read_text()) for n in points}


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
async def test_killed_at_any_write_it_comes_to_the_same(tmp_path: Path) -> None:
    month = month_before(today(), days=1)
    folder = tmp_path / "made"
    folder.mkdir()
    async with simulator() as sim:
        await sim.reset(created=None)
        await sim.plant(month.calls)
        plant_rows(folder / "ledger.db", month)
        write_config(folder, settings(sim.url, {**MORE, "reconcile": {"apply": "adjust", "hourly": False}}))
        (folder / "days.json").write_text(json.dumps([day.isoformat() for day in month.days]))
        whole = (await asyncio.to_thread(ran, folder, [0]))[0]
        first = json.loads((folder.with_name("made-0") / "first.json").read_text())
        points = sampling.drawn(range(1, first.pop("writes") + 1), 0.1, "killed syncs")
        states = await asyncio.to_thread(ran, folder, points)
    del whole["writes"]
    assert first == whole  # a second sync changes nothing
    kinds = {(request_id is None, reference is None) for request_id, reference, _ in whole["adjustments"]}
    assert kinds == {(True, False), (False, True)}  # of requests, and of calls without one
    assert whole["settled"] == [["settled", len(month.rows)]]  # those that waited for their cost too
    assert not whole["twice"]
    for point, state in states.items():
        del state["writes"]
        assert state == whole, point
