"""An operation that is over when it returns, for those who await it: no turn of the loop, no object each."""

from collections.abc import Generator
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


NOTHING_LEFT: Final = Done(None)
"""An operation without a result that is over."""
