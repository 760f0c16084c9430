"""Python's cycle collector, as a process that only serves wants it."""

import gc

_THRESHOLD = 50_000  # objects of the start are frozen; those of a request are freed by reference counting


def tune_collector() -> None:
    """Keep what the start made, its little garbage too, out of every collection, and make collections rare.

    Looking for that garbage first (300 kB) would stop the process for some 50 ms, just as it is ready to answer.
    """
    gc.freeze()
    gc.set_threshold(_THRESHOLD)
