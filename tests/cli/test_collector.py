"""What serve asks of Python: to collect nothing of the start and rarely, and to let the event loop run soon."""

import subprocess
import sys
from pathlib import Path

from tests.support.installation import settings, write_config

_SERVE = """
import gc, importlib, sys
serve = importlib.import_module("proxy.cli.serve")
async def told_to_stop(app, stop):
    print(gc.get_threshold()[0], gc.get_freeze_count(), round(sys.getswitchinterval() * 1e6), flush=True)
    return True
serve._told_to_stop = told_to_stop
from proxy.cli import tollkeeper
tollkeeper(["serve", "-c", sys.argv[1]])
"""


def test_serve_tunes_python(tmp_path: Path) -> None:
    path = write_config(tmp_path, settings("http://127.0.0.1:9"))
    ran = subprocess.run([sys.executable, "-c", _SERVE, str(path)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    threshold, frozen, interval_us = map(int, ran.stdout.split())
    assert threshold == 50_000
    assert frozen > 10_000, "what the start made"
    assert interval_us == 500
