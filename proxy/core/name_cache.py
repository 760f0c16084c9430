"""What a function says of names, kept for those that come again: reading it enters no code of ours, and no cache's.

An lru_cache takes several times as long to ask as a dictionary, which matters where a request asks ten times.
"""

from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class NameCache(dict[K, V]):
    """cache[name] is find(name), found once; with more than most names it begins anew, for they come from outside."""

    __slots__ = ("_find", "_most")

    def __init__(self, find: Callable[[K], V], most: int = 256) -> None:
        super().__init__()
        self._find = find
        self._most = most

    def __missing__(self, name: K) -> V:
        found = self._find(name)
        if len(self) >= self._most:
            self.clear()
        self[name] = found
        return found
