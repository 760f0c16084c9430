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

    # Of the class until they change: a request makes three of these.
    _asyncio_future_blocking = False  # the name by which asyncio.isfuture() and tasks know a future
    _callbacks: list[tuple[Callable[[Any], object], Context | None]] | None = None  # a Stepper has none
    _done = False
    _error: BaseException | None = None
    _result: T
    step: Callable[[], None] | None = None  # what goes on at once

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

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

    def cancelled(self) -> bool:
        return isinstance(self._error, asyncio.CancelledError)

    def _make_cancelled_error(self) -> asyncio.CancelledError:  # the name by which asyncio.gather() asks
        return asyncio.CancelledError()

    def exception(self) -> BaseException | None:
        if self.cancelled():
            raise asyncio.CancelledError
        return self._error

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._result

    def add_done_callback(self, callback: Callable[[Self], object], *, context: Context | None = None) -> None:
        if self._done:
            self._loop.call_soon(callback, self, context=context)
        else:
            self._callbacks = [*(self._callbacks or ()), (callback, context)]

    def remove_done_callback(self, callback: Callable[[Self], object]) -> int:
        before = self._callbacks or []
        kept = [(other, context) for other, context in before if other != callback]
        removed = len(before) - len(kept)
        self._callbacks = kept
        return removed

    def _finish(self) -> None:
        if self._done:
            raise asyncio.InvalidStateError("this waiter is done already")
        self._done = True
        step = self.step
        if step is not None:
            self.step = None
            step()
        callbacks = self._callbacks
        if callbacks is None:
            return
        self._callbacks = None
        for callback, context in callbacks:
            self._loop.call_soon(callback, self, context=context)

    def __await__(self) -> Generator[Any, None, T]:
        if not self._done:
            self._asyncio_future_blocking = True
            yield self
        if self._error is not None:
            raise self._error
        return self._result
