"""Whether a process gives way to all others of the machine, a proxy beside it above all.

A command does so before it imports anything else, at the priority that it was started with: so little is imported here.
"""

import os
import time
from _queue import SimpleQueue  # built in: queue.py and threading.py would have to be imported
from _thread import start_new_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NICE = 10
_LOOKS = 12  # a machine is full where each of them finds it so: requests and children that start leave gaps
_LOOK_EVERY_S = 0.002
_LOAD = "/proc/loadavg"  # Linux: "0.20 0.18 0.12 1/80 11206", the fourth is what runs or could, and all there is
_LOAD_BYTES = 128


class PromptThread:
    """A thread that keeps the priority with which its process began, for what may not come late.

    A priority is a thread's on Linux, and threads and processes get that of the thread that starts them.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], SimpleQueue[tuple[Any, BaseException | None]]]]
        self._calls = SimpleQueue()
        start_new_thread(self._run, ())

    def call(self, function: "Callable[[], Any]") -> "Any":
        """Return what a short function returns that is called there; raises what it raises."""
        outcome: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._calls.put((function, outcome))
        value, error = outcome.get()
        if error is not None:
            raise error
        return value

    def _run(self) -> None:
        while True:
            function, outcome = self._calls.get()
            try:
                outcome.put((function(), None))
            except BaseException as error:  # noqa: BLE001 - it is raised where the call was asked for
                outcome.put((None, error))
            del function, outcome


def step_back() -> PromptThread | None:
    """Let every other process go first, and return a thread that still does not; None: everything stays as it is.

    On Linux a process of SCHED_IDLE is mostly taken off its processor the moment another one wakes (what is left to do
    is in pauses.py); one that is merely nice may keep it for milliseconds. Where no processor is free it would get next
    to none for as long as that lasts, and it cannot be put back without privileges, so that a full machine gets a nice
    process only. Who was started with a priority of its own keeps it. What the system refuses is left as it is.
    """
    if hasattr(os, "getpriority"):
        try:
            is_given = os.getpriority(os.PRIO_PROCESS, 0) != 0
            if hasattr(os, "sched_getscheduler"):
                is_given = is_given or os.sched_getscheduler(0) != os.SCHED_OTHER
        except OSError:
            is_given = False
        if not is_given:
            return put_back()
    return None


def put_back() -> PromptThread:
    """Do as step_back() does whatever priority this process was given: it works for another one, which goes first.

    One that a command has started does as the command does: several that start at once fill a machine for a moment.
    """
    prompt = PromptThread()
    try:
        if hasattr(os, "SCHED_IDLE") and (is_idle(os.getppid()) or not _is_full()):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            return prompt
    except OSError:
        pass  # no /proc, or not allowed: the other way may be
    try:
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, 0, max(_NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    except OSError:
        pass  # it may not
    return prompt


def is_idle(process: int) -> bool:
    """Return whether a process goes behind all others; raises OSError where there is none or it may not be asked."""
    return hasattr(os, "SCHED_IDLE") and os.sched_getscheduler(process) == os.SCHED_IDLE


def _is_full() -> bool:
    """Return whether more wants to run than there are processors."""
    for _ in range(_LOOKS):
        if not is_load_full(_read_load(), os.cpu_count() or 1):
            return False
        time.sleep(_LOOK_EVERY_S)
    return True


def _read_load() -> str:
    file = os.open(_LOAD, os.O_RDONLY)
    try:
        return os.read(file, _LOAD_BYTES).decode()
    finally:
        os.close(file)


def is_load_full(load: str, processors: int) -> bool:
    """Return whether a line of /proc/loadavg tells of more that runs or could than there are processors."""
    return int(load.split()[3].partition("/")[0]) > processors
