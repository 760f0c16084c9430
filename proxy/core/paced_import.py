"""Imports in a thread beside an event loop that has requests to answer."""

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any, Final

_EACH_S: Final = 0.0003  # of work, after which it stands still
_PAUSE_S: Final = 0.001
_BUSY_S: Final = 0.1  # after the last request
_SWITCH_S: Final = 0.00005  # after it, the thread is asked for the interpreter


class _ImportPauses:
    """A finder that finds nothing: Python asks it before each module, and it looks whether requests come.

    While they do, Python calls it at each call of a function, too, where it stands still if it is time to.
    """

    def __init__(self, newest_request: Callable[[], int]) -> None:
        self._newest_request = newest_request
        self._request = newest_request()
        self._busy_until_s = 0.0
        self._is_paced = False
        self._thread = threading.get_ident()
        self._begun_s = time.perf_counter()

    def find_spec(
        self,
        fullname: str,  # noqa: ARG002 - Python's signature
        path: Sequence[str] | None,  # noqa: ARG002 - likewise
        target: ModuleType | None = None,  # noqa: ARG002 - likewise
        /,
    ) -> None:
        """Return None: another finder is to be asked."""
        if threading.get_ident() != self._thread:
            return
        newest, now_s = self._newest_request(), time.perf_counter()
        if newest != self._request:
            self._request, self._busy_until_s = newest, now_s + _BUSY_S
        if self._is_paced != (now_s < self._busy_until_s):
            self._is_paced = not self._is_paced
            sys.setprofile(self._pause if self._is_paced else None)

    def _pause(self, frame: FrameType, event: str, argument: Any) -> None:  # noqa: ARG002 - Python's signature
        if time.perf_counter() - self._begun_s > _EACH_S:
            time.sleep(_PAUSE_S)
            self._begun_s = time.perf_counter()


@contextmanager
def paced_imports(newest_request: Callable[[], int], loading: threading.Lock) -> Iterator[None]:
    """Import what this thread imports within in pieces, with pauses while requests come: in six times the time.

    newest_request: returns a number that is another one after each request. A request takes the interpreter some
    twenty times, and beside a thread that imports it waits for it each time: in three tenths of a second of imports one
    request in seven took more than 3 ms, with the pauses none. Only for what is loaded once: nothing of it is looked
    through by the cycle collector, then or later, for that would stop the loop for 20 ms each time.

    loading: held meanwhile, for what is set here is the process's: of two that overlap, the one that ends last would
    leave what the other had set.
    """
    with loading:
        yield from _paced(_ImportPauses(newest_request))


def _paced(pauses: _ImportPauses) -> Iterator[None]:
    interval_s, collects, profile = sys.getswitchinterval(), gc.isenabled(), sys.getprofile()
    sys.setswitchinterval(min(interval_s, _SWITCH_S))
    gc.disable()
    sys.meta_path.insert(0, pauses)
    try:
        yield
    finally:
        sys.setprofile(profile)
        sys.meta_path.remove(pauses)
        gc.freeze()
        if collects:
            gc.enable()
        sys.setswitchinterval(interval_s)
