"""Whether this process gives way to all others of the machine, a proxy beside it above all."""

import contextlib
import os
import time
from pathlib import Path

_NICE = 10
_LOOKS = 3  # a machine is full where each of them finds it so
_LOOK_EVERY_S = 0.001
_LOAD = Path("/proc/loadavg")  # Linux: "0.20 0.18 0.12 1/80 11206", the fourth is what runs or could, and all there is


def step_back() -> None:
    """Let every other process go first, and those that this one starts from now on with it.

    On Linux a process of SCHED_IDLE is taken off its processor the moment another one wakes; one that is merely nice
    may keep it for milliseconds. Where no processor is free it would get next to none for as long as that lasts, and
    it cannot be put back without privileges, so that a full machine gets a nice process only. Who was started with a
    priority of its own keeps it. What the system refuses is left as it is.
    """
    if not hasattr(os, "nice"):
        return
    with contextlib.suppress(OSError):
        if os.nice(0) != 0:
            return
        if hasattr(os, "sched_setscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
            return
    with contextlib.suppress(OSError):
        if hasattr(os, "sched_setscheduler") and not _is_full():
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            return
    with contextlib.suppress(OSError):
        os.nice(_NICE)


def _is_full() -> bool:
    """Return whether more wants to run than there are processors."""
    for _ in range(_LOOKS):
        if not is_load_full(_LOAD.read_text(), os.cpu_count() or 1):
            return False
        time.sleep(_LOOK_EVERY_S)
    return True


def is_load_full(load: str, processors: int) -> bool:
    """Return whether a line of /proc/loadavg tells of more that runs or could than there are processors."""
    return int(load.split()[3].partition("/")[0]) > processors
