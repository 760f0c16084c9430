"""The thread by which a process that gives way stands still now and then, so that others find its processor free.

Where it has no way to do so (not Linux, a Python without ctypes) it ends, and the low priority alone must do.
"""

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from proxy.core.pauses import PauseLook, Pauses
from proxy.core.process_priority import PromptThread, is_idle

_START_S: Final = 2.0  # so long it takes a command to import what it needs where it stands still in between
_LOOK_EVERY_S: Final = 0.001  # while it stands still in between: the longest that a request waits for its processor
_LOOK_CALM_S: Final = 0.006  # of computing, after a look without a pause
_LOOK_ALONE_S: Final = 0.03  # likewise, without a sign of others
_SWITCH_S: Final = 0.00005  # after it, Python that computes is asked for the interpreter
_WAITS: Final = "/proc/self/schedstat"  # Linux: nanoseconds of computing, nanoseconds of waiting, turns
_OWN_S: Final = 0.02  # for so long after a thread could have stood still by itself it is expected to do so


class Watched(Protocol):
    """What others write. count: a number that is another one each time; None: nobody knows. One call at a time."""

    def count(self) -> int | None: ...

    def close(self) -> None: ...


class _Sleeps(NamedTuple):
    """Two ways to sleep. until_computed: for so much of the process's computing, in seconds, less than one.

    False: there is no such clock. The kernel looks at that one with its tick, each 1 to 10 ms. holding: with the
    interpreter held, so that no thread of the process goes on with Python.
    """

    until_computed: Callable[[float], bool]
    holding: Callable[[float], None]


class Pacer(threading.Thread):
    """Knows others by what they write, once it is told how to see that. A process has one at most.

    Until then it expects others to be at work, for as long as a start may take: imports are most of a short command.

    It is started in the prompt thread, so that it wakes in time: one of a low priority waits as long as requests would.
    While it sleeps it keeps the interpreter's lock: whatever Python runs in the process stands still, in any thread and
    at any place, and no signal is in play. Code in C that runs without the lock goes on; so it has to call pause() now
    and then, as SQLite does by its progress handler. That costs less, too: this thread has to wake for each piece.
    """

    def __init__(self, prompt: PromptThread, *, is_short: bool = False) -> None:
        """Begin; is_short: as Pauses has it."""
        super().__init__(name="pacer", daemon=True)
        self._is_short = is_short
        self._prompt = prompt
        self._watched: Watched | None = None
        self._rests = False
        self._looking = threading.Lock()
        self._pauses: Pauses | None = None  # from the first look on
        self._is_pausing = False
        self._own_until_s = 0.0

    @staticmethod
    def of_this_process() -> "Pacer | None":
        """Return the one that runs here."""
        return next((thread for thread in threading.enumerate() if isinstance(thread, Pacer)), None)

    def watch(self, written: Watched) -> None:
        """Stand still beside whoever writes this, and close it where it is not wanted any more."""
        if self._rests:
            written.close()
            return
        with self._looking:
            if self._watched is not None:
                self._watched.close()
            self._watched = written
            if self._pauses is not None:
                self._pauses.expect_signs(time.monotonic(), written.count())

    def rest(self) -> None:
        """Watch nothing any more: this process itself is the one that writes."""
        with self._looking:
            watched, self._watched, self._rests = self._watched, None, True
        if watched is not None:
            watched.close()

    @property
    def is_pausing(self) -> bool:
        """Return whether this process stands still now and then as things are."""
        return self._is_pausing

    def pause(self, least_s: float = 0.0) -> None:
        """Stand still now if it is time to, and if at least so much was computed since the last look.

        For a thread that computes, at a moment when nobody waits for it: that wakes no other thread.
        """
        pauses = self._pauses
        if pauses is None:
            return
        # Before the rest: while this thread makes it stand still, what is computed in between seldom comes to least_s.
        self._own_until_s = time.monotonic() + _OWN_S
        if least_s and _used().computed_s - pauses.computed_s < least_s:
            return
        if (pause_s := self._due_s(pauses)) > 0:
            self._own_until_s += pause_s
            time.sleep(pause_s)

    def start_process(self, command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        """Start one that gives way by itself (core/background.py), with the priority that this one began with."""
        started: subprocess.Popen[bytes] = self._prompt.call(lambda: subprocess.Popen(command, **options))  # noqa: S603
        return started

    def run(self) -> None:
        """Look after some milliseconds of computing, and stand still where that is wanted.

        Alone it looks seldom, and leaves the interpreter as it is: each look, and each switch between threads that
        read an export, is time that nobody is given.
        """
        sleeps = _sleeps()
        if sleeps is None:
            return
        expected_s = _START_S if is_idle(os.getpid()) else 0.0
        pauses = self._pauses = Pauses(self._look(), expected_s=expected_s, is_short=self._is_short)
        alone_s = sys.getswitchinterval()
        while sleeps.until_computed(_LOOK_CALM_S if pauses.is_in_company(time.monotonic()) else _LOOK_ALONE_S):
            sys.setswitchinterval(_SWITCH_S if pauses.is_in_company(time.monotonic()) else alone_s)
            while time.monotonic() >= self._own_until_s and (pause_s := self._due_s(pauses)) > 0:
                sys.setswitchinterval(2 * pause_s)  # all others: asks in vain, and computes for it each time
                sleeps.holding(pause_s)
                sys.setswitchinterval(_SWITCH_S)
                time.sleep(_LOOK_EVERY_S)

    def _due_s(self, pauses: Pauses) -> float:
        with self._looking:
            pause_s = 0.0 if self._rests else pauses.pause_s(self._look())
        self._is_pausing = pause_s > 0
        return pause_s

    def _look(self) -> PauseLook:
        waited_s = _waited_s() if self._is_short else 0.0  # nobody else asks, and the file costs some microseconds
        changes = None if self._watched is None else self._watched.count()
        return PauseLook(time.monotonic(), *_used(), changes, waited_s)


class _Used(NamedTuple):
    """As PauseLook has it."""

    computed_s: float
    taken_off: int


def _used() -> _Used:
    """Return what this process has had of processors until now.

    Not by time.process_time(): while a timer of that clock runs, as until_computed() needs one, Linux tells of it what
    it was at the last tick, up to 10 ms ago.
    """
    import resource  # noqa: PLC0415 - not on Windows

    used = resource.getrusage(resource.RUSAGE_SELF)
    return _Used(used.ru_utime + used.ru_stime, used.ru_nivcsw)


def _waited_s() -> float:
    """Return how long the first thread of this process has waited for a processor; 0 where the system does not say."""
    try:
        with open(_WAITS, "rb", buffering=0) as file:  # noqa: PTH123 - sooner, and read often
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def _sleeps() -> _Sleeps | None:
    """Return how to sleep; None: this system has no way."""
    if not hasattr(os, "sched_setscheduler") or not hasattr(time, "CLOCK_PROCESS_CPUTIME_ID"):
        return None
    try:
        import ctypes  # noqa: PLC0415 - two milliseconds that other processes do not need
    except ImportError:
        return None

    class Timespec(ctypes.Structure):
        _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))

    free, held = ctypes.CDLL(None), ctypes.PyDLL(None)
    if not hasattr(free, "clock_nanosleep"):
        return None

    def until_computed(time_s: float) -> bool:
        span = Timespec(0, int(time_s * 1e9))
        return free.clock_nanosleep(time.CLOCK_PROCESS_CPUTIME_ID, 0, ctypes.byref(span), None) in (0, errno.EINTR)

    def holding(time_s: float) -> None:
        held.usleep(int(time_s * 1e6))

    return _Sleeps(until_computed, holding)
