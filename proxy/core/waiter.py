"""A future for one who waits, without the turn of the loop that asyncio's takes between result and resumption."""

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")


class Waiter(Generic[T]):
    """It is awaited like an asyncio.Future, by one at a time.

    A task that awaits it goes on in the next turn of the loop, as always. What a Stepper runs (web/stepper.py) goes on
    at once, within set_result(): so call that last.
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_context", "_done", "_error", "_loop", "_result", "step")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False  # the name by which asyncio.isfuture() and tasks know a future
        self._loop = loop
        self._callback: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._done = False
        self._error: BaseException | None = None
        self._result: T
        self.step: Callable[[], None] | None = None  # what goes on at once

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def done(self) -> bool:
        return self._done

    def set_result(self, result: T) -> None:
        self._result = result
        self._finish()

    def set_exception(self, error: BaseException) -> None:
        self._error = error
        self._finish()

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - the signature that tasks call
        if self._done:
            return False
        self.set_exception(asyncio.CancelledError())
        return True

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._result

    def add_done_callback(self, callback: Callable[[Self], object], *, context: Context | None = None) -> None:
        self._callback, self._context = callback, context
        if self._done:
            self._tell()

    def _finish(self) -> None:
        if self._done:
            raise asyncio.InvalidStateError("this waiter is done already")
        self._done = True
        if self.step is not None:
            self.step()
        elif self._callback is not None:
            self._tell()

    def _tell(self) -> None:
        callback, self._callback = self._callback, None
        assert callback is not None
        self._loop.call_soon(callback, self, context=self._context)

    def __await__(self) -> Generator[Any, None, T]:
        if not self._done:
            self._asyncio_future_blocking = True
            yield self
        return self.result()
