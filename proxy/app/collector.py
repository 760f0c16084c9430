"""Python's cycle collector, as a process that only serves wants it."""

import gc

_THRESHOLD = 50_000  # objects of the start are frozen; those of a request are freed by reference counting


def tune_collector() -> None:
    """Free what the start left behind, keep what it made out of every later collection, and make those rare."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_THRESHOLD)
