"""The disk of the ledger, and how fast the ledger grows."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from proxy.policy.alerts.measures import AlertReading

GROWTH = "ledger_size"
"""The measure under which sizes of the ledger are kept, one an hour."""

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
Samples = Mapping[tuple[str, str], Sequence[tuple[int, str]]]


def disk_free(database: Path) -> list[AlertReading]:
    """Return what is free for us on the disk of the ledger, in bytes. Blocks."""
    import shutil  # noqa: PLC0415 - with archives, which no request needs

    usage = shutil.disk_usage(database.absolute().parent)
    return [AlertReading("disk", "disk", float(usage.free), detail=f"{database.absolute().parent}")]


def ledger_size(database: Path) -> int:
    """Return the bytes of the ledger and of what is not yet folded into it. Blocks."""
    size = 0
    for path in (database, database.with_name(f"{database.name}-wal")):
        try:
            size += os.stat(path).st_size  # noqa: PTH116 - one call for each file
        except FileNotFoundError:
            continue
    return size


def ledger_growth(samples: Samples, size: int, now_ms: int) -> list[AlertReading]:
    """Return by how much the ledger has grown since the oldest size of the last day, in bytes."""
    known = [orjson.loads(value) for at_ms, value in samples.get((GROWTH, "ledger"), ()) if at_ms >= now_ms - DAY_MS]
    grown = max(0, size - known[0]) if known else 0
    return [AlertReading("ledger", "ledger", float(grown), detail=f"{size} bytes in all")]


def is_sample_due(samples: Samples, now_ms: int) -> bool:
    """Return whether a size is to be kept: the first one, and one an hour."""
    known = samples.get((GROWTH, "ledger"), ())
    return not known or not 0 <= now_ms - known[-1][0] < HOUR_MS
