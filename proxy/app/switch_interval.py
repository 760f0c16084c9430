"""How soon a thread that computes lets the event loop run."""

import sys
from typing import Final

_INTERVAL_S: Final = 0.0005


def shorten_switch_interval() -> None:
    """Let a thread that waits for the interpreter have it after half a millisecond, not after Python's five.

    A request wakes the event loop several times, and beside a report that is computed in a thread each time would wait
    for it. A switch costs some microseconds, and only where two threads want to compute at once.
    """
    sys.setswitchinterval(_INTERVAL_S)
