"""Long loops of Python in a thread beside an event loop."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

T = TypeVar("T")
_EACH: Final = 200  # items: some ten to a hundred microseconds of a short loop's work
_PAUSE_S: Final = 50e-6  # long enough for a thread that waits for the interpreter to get it


def paced(items: Iterable[T], each: int = _EACH) -> Iterator[T]:
    """Yield the items, and let other threads run after every so many.

    Python itself takes the interpreter from a loop only after 5 ms, so long would the event loop wait each time that a
    request wakes it. Not for the event loop's own thread.
    """
    left = iter(items)
    while part := tuple(islice(left, each)):
        yield from part
        time.sleep(_PAUSE_S)
