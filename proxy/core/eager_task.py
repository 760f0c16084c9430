"""Run a coroutine without a task: it begins at once, and goes on within whatever ends its wait.

A task would cost a turn of the loop at the start and at each wait. In return there is no current task: what needs one
(asyncio.timeout) must be given a task of its own and be awaited.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, Generic, Self, TypeVar, cast

T = TypeVar("T")
Ended = Callable[[BaseException | None], None]  # what it raised

_ENDED: Any = object()
_TWICE = "this waiter is done already"
_NOTHING_TO_WAIT_FOR = cast(Generator[Any, None, None], iter(()))


def _tell_nobody(error: BaseException | None) -> None:
    """Do nothing: nobody waits for the end."""


class InlineFuture(Generic[T]):
    """It is awaited like an asyncio.Future, by one at a time, but for its end alone: what came of it is its result().

    A task that awaits it goes on in the next turn of the loop, as always. What an EagerTask runs goes on
    at once, within set_result(): so call that last.
    """

    # slots, all set at once: a request makes three, and a value of the class is several times slower to read
    __slots__ = ("_asyncio_future_blocking", "_callbacks", "_result", "error", "is_done", "loop", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.is_done = False
        self.task: EagerTask | None = None  # what goes on at once
        self._asyncio_future_blocking = False  # the name by which asyncio.isfuture() and tasks know a future
        self._callbacks: list[tuple[Callable[[Any], object], Context | None]] | None = None  # a Stepper has none
        self.error: BaseException | None = None
        self._result: T

    def renew(self) -> None:
        """Make it as it was at first; whoever awaited it has gone on, or will be told what came of it all the same."""
        self.is_done = False
        self.error = None

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self.loop

    def done(self) -> bool:
        return self.is_done

    def set_result(self, result: T) -> None:
        if self.is_done:
            raise asyncio.InvalidStateError(_TWICE)
        self.is_done = True
        self._result = result
        task = self.task
        if task is not None:
            self.task = None
            task.step()
        if self._callbacks is not None:
            self._call_back(self._callbacks)

    def set_exception(self, error: BaseException) -> None:
        if self.is_done:
            raise asyncio.InvalidStateError(_TWICE)
        self.error = error  # goes before any result
        self.set_result(cast(T, None))

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - the signature that tasks call
        if self.is_done:
            return False
        self.set_exception(asyncio.CancelledError())
        return True

    def cancelled(self) -> bool:
        return isinstance(self.error, asyncio.CancelledError)

    def _make_cancelled_error(self) -> asyncio.CancelledError:  # the name by which asyncio.gather() asks
        return asyncio.CancelledError()

    def exception(self) -> BaseException | None:
        if self.cancelled():
            raise asyncio.CancelledError
        return self.error

    def result(self) -> T:
        if self.error is not None:
            raise self.error
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

    def __await__(self) -> Generator[Any, None, None]:
        # an iterator of C's: a generator would be entered once more when the wait is over. Who runs the coroutine, a
        # task or an EagerTask, raises the error in it
        if not self.is_done:
            self._asyncio_future_blocking = True
            waits: Any = iter((self,))
            return waits  # type: ignore[no-any-return]
        if self.error is not None:
            raise self.error
        return _NOTHING_TO_WAIT_FOR


class EagerTask:
    """One coroutine after the other, each of which awaits InlineFutures and asyncio's futures.

    What comes of a coroutine it keeps somewhere itself: to return a value would make an exception of it, with a
    traceback, which takes longer than most steps.
    """

    __slots__ = ("_ended", "_loop", "_turns", "_waits_for")

    def __init__(self, loop: asyncio.AbstractEventLoop, ended: Ended) -> None:
        self._loop = loop
        self._ended = ended
        self._turns: Any = None  # of the coroutine that runs
        self._waits_for: Any = None

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine until its first wait or to its end; the one before it has ended."""
        self._turns = coroutine.__await__()
        self.step()

    def step(self, _future: object = None) -> None:
        """Run until the next wait or to the end."""
        waited, self._waits_for = self._waits_for, None
        try:
            if waited is not None and isinstance(waited, InlineFuture) and waited.error is not None:
                future = self._turns.throw(waited.error)
            else:
                for future in self._turns:  # noqa: B007 - one turn; next() would raise at the end
                    break
                else:
                    future = _ENDED
        except StopIteration:  # of throw() alone
            future = _ENDED
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - handed on, as a task hands it on
            self._turns = None
            self._ended(error)
            return
        if isinstance(future, InlineFuture):
            self._waits_for = future
            future._asyncio_future_blocking = False  # noqa: SLF001 - by this name tasks take a future over
            future.task = self
        elif future is _ENDED:
            self._turns = None
            self._ended(None)
        else:
            self._wait(future)

    def cancel(self) -> None:
        """Raise CancelledError where the coroutine waits."""
        if self._waits_for is not None:
            self._waits_for.cancel()

    def close(self) -> None:
        """Forget who hears of ends: no coroutine is run any more."""
        self._ended = _tell_nobody

    def _wait(self, future: Any) -> None:
        if future is None:  # asyncio.sleep(0)
            self._loop.call_soon(self.step)
            return
        self._waits_for = future
        future._asyncio_future_blocking = False  # noqa: SLF001 - as above
        future.add_done_callback(self.step)
