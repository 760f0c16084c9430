"""An operation that is over when it returns, for those who await it: no turn of the loop, no object each."""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")


class Done(Generic[T]):
    """Awaiting it gives its value at once."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, Any, T]:
        return self.value
        yield  # what makes it a generator


class _Nothing:
    """Awaiting it gives None at once, by an iterator of C that is over: no frame of ours."""

    __slots__ = ()
    __await__: Callable[[], Generator[Any, Any, None]] = staticmethod(().__iter__)  # type: ignore[assignment]


NOTHING_LEFT: Final[Awaitable[None]] = _Nothing()
"""An operation without a result that is over."""
