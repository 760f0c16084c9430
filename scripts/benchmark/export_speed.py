"""How many rows a second `tollkeeper export` writes, in each format, out of a ledger that is made for it.

    PYTHONPATH=. .venv/bin/python scripts/benchmark/export_speed.py ROWS [FORMAT ...]

Prints a line for each format: rows a second by the clock and by processor time, and the most memory of one process in
MB. On a machine that does other things the second figure is the one to compare; CSV is written by a process for each
core. To /dev/null, so that no disk is measured.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from made_ledger import make_ledger

_FORMATS = ("csv", "jsonl", "parquet", "focus")


def main() -> None:
    rows, formats = int(sys.argv[1]), sys.argv[2:] or _FORMATS
    with TemporaryDirectory() as folder:
        database = Path(folder) / "tollkeeper.db"
        database.touch(mode=0o600)
        make_ledger(database, rows)
        for form in formats:
            print(_measure(database, rows, form), flush=True)


def _measure(database: Path, rows: int, form: str) -> str:
    command = [sys.executable, "-m", "proxy", "export", "--database", str(database), "--format", form, "-o", os.devnull]
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    took_s, after = time.monotonic() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    memory = after.ru_maxrss / 1024  # of the largest so far
    return f"{form:8} {rows / took_s:10,.0f} rows/s, {rows / cpu_s:10,.0f} by processor time, at most {memory:.0f} MB"


if __name__ == "__main__":
    main()
