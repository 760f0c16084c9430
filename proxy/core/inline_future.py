"""A future with one waiter, without the turn of the loop that asyncio's takes between result and resumption."""

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, Generic, Self, TypeVar, cast

T = TypeVar("T")

_TWICE = "this waiter is done already"


class InlineFuture(Generic[T]):
    """It is awaited like an asyncio.Future, by one at a time.

    A task that awaits it goes on in the next turn of the loop, as always. What an EagerTask runs goes on
    at once, within set_result(): so call that last.
    """

    # slots, all set at once: a request makes three, and a value of the class is several times slower to read
    __slots__ = ("_asyncio_future_blocking", "_callbacks", "_error", "_result", "is_done", "loop", "step")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.is_done = False
        self.step: Callable[[], None] | None = None  # what goes on at once
        self._asyncio_future_blocking = False  # the name by which asyncio.isfuture() and tasks know a future
        self._callbacks: list[tuple[Callable[[Any], object], Context | None]] | None = None  # a Stepper has none
        self._error: BaseException | None = None
        self._result: T

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self.loop

    def done(self) -> bool:
        return self.is_done

    def set_result(self, result: T) -> None:
        if self.is_done:
            raise asyncio.InvalidStateError(_TWICE)
        self.is_done = True
        self._result = result
        step = self.step
        if step is not None:
            self.step = None
            step()
        if self._callbacks is not None:
            self._call_back(self._callbacks)

    def set_exception(self, error: BaseException) -> None:
        if self.is_done:
            raise asyncio.InvalidStateError(_TWICE)
        self._error = error  # goes before any result
        self.set_result(cast(T, None))

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - the signature that tasks call
        if self.is_done:
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
        if self.is_done:
            self.loop.call_soon(callback, self, context=context)
        else:
            self._callbacks = [*(self._callbacks or ()), (callback, context)]

    def remove_done_callback(self, callback: Callable[[Self], object]) -> int:
        before = self._callbacks or []
        kept = [(other, context) for other, context in before if other != callback]
        removed = len(before) - len(kept)
        self._callbacks = kept
        return removed

    def _call_back(self, callbacks: list[tuple[Callable[[Any], object], Context | None]]) -> None:
        self._callbacks = None
        for callback, context in callbacks:
            self.loop.call_soon(callback, self, context=context)

    def __await__(self) -> Generator[Any, None, T]:
        if not self.is_done:
            self._asyncio_future_blocking = True
            yield self
        if self._error is not None:
            raise self._error
        return self._result
