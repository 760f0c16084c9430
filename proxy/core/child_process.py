"""A process of our own that gives way to all others and answers questions, one at a time, through pipes.

python -m proxy.core.child_process MAKER [ARGUMENT …]: MAKER names what makes the object that is asked, as
package.module:function, from the arguments.
"""

import gc
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final

from msgspec import Struct

from proxy.core.child_python import background_command, bare_environ
from proxy.core.errors import LedgerError

_LOOK_EVERY_MS: Final = 5_000
_LOOKS: Final = 24  # two minutes
_STARVED_SHARE: Final = 0.01  # of a processor
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class ChildGoneError(Exception):
    """The process has ended or was ended; the text says how, after "the process …"."""


class ProcessorLook(Struct, frozen=True):
    """What a process has computed so far, and whether it wants to go on."""

    at_s: float
    cpu_s: float
    wants_processor: bool


def is_starved(looks: Sequence[ProcessorLook]) -> bool:
    """Return whether a process wanted a processor at each of the looks, and got next to none in between."""
    computed_s, passed_s = looks[-1].cpu_s - looks[0].cpu_s, looks[-1].at_s - looks[0].at_s
    return all(look.wants_processor for look in looks) and computed_s < passed_s * _STARVED_SHARE


def read_look(stat: str, at_s: float) -> ProcessorLook:
    """Return what a line of /proc/PID/stat tells."""
    state, *fields = stat.rpartition(")")[2].split()
    return ProcessorLook(at_s, (int(fields[10]) + int(fields[11])) / _TICKS_PER_S, state == "R")


class ChildProcess:
    """The process, from the first question on. Its methods block, and are for threads; close() may come at any time.

    It gets no key of a provider: see bare_environ(). It has no time limit, but ends where it gets no processor: what
    gives way to all others may wait for ever on a machine that is full.
    """

    def __init__(self, maker: str, *arguments: str) -> None:
        self._command = background_command(__name__, maker, *arguments)
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """Return its number; None: it is not started yet."""
        return None if self._process is None else self._process.pid

    def do(self, method: str, arguments: Sequence[Any]) -> Any:
        """Return what a method of its object returns; one question at a time.

        Raises LedgerError where the ledger cannot be read, ChildGoneError where the process is gone.
        """
        import pickle  # noqa: PLC0415 - a start asks nothing

        process = self._started()
        try:
            pickle.dump((method, tuple(arguments)), _pipe(process.stdin), pickle.HIGHEST_PROTOCOL)
            _pipe(process.stdin).flush()
            self._wait(process)
            found, problem = pickle.load(_pipe(process.stdout))  # noqa: S301 - it comes from our own program
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):  # ValueError: closed meanwhile
            process.kill()  # what still runs has sent what cannot be read, and would be waited for for ever
            raise ChildGoneError(f"has ended with {process.wait()}") from None
        if problem is not None:
            raise LedgerError(problem)
        return found

    def close(self) -> None:
        """End it, whatever it does."""
        with self._starting:
            self._is_closed = True
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what was not sent is lost, as it should be
                _pipe(pipe).close()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._starting:
            if self._is_closed:
                raise ChildGoneError("was ended")
            if self._process is None:
                try:
                    self._process = subprocess.Popen(  # noqa: S603 - constants, and a path of the configuration
                        self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=bare_environ()
                    )
                except OSError as error:
                    raise ChildGoneError(f"cannot be started ({error.strerror})") from None
            return self._process

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until an answer begins; raises ChildGoneError where none can be hoped for."""
        stat = Path(f"/proc/{process.pid}/stat")
        if not stat.exists():  # not Linux: nothing has so low a priority that it starves
            return
        waiting = select.poll()
        waiting.register(_pipe(process.stdout).fileno(), select.POLLIN)
        looks = deque[ProcessorLook](maxlen=_LOOKS)
        while not waiting.poll(_LOOK_EVERY_MS):
            looks.append(read_look(stat.read_text(), time.monotonic()))
            if len(looks) == _LOOKS and is_starved(looks):
                process.kill()
                process.wait()
                raise ChildGoneError("was ended: for two minutes other programs left no processor to it")


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def main(maker: str, *arguments: str) -> None:
    """Answer questions until there are no more."""
    import pickle  # noqa: PLC0415 - as in ChildProcess

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it comes to all of a terminal: the one that asked decides
    asked, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a module prints as it is imported is no answer
    gc.disable()  # what is asked for has no circles, and to look for some takes a third of the time
    module, _, name = maker.partition(":")
    make: Callable[..., Any] = getattr(import_module(module), name)
    answerer = make(*arguments)
    with suppress(EOFError, BrokenPipeError):  # who asked has gone
        while True:
            method, given = pickle.load(asked)  # noqa: S301 - it comes from our own program
            answer: tuple[Any, str | None]
            try:
                answer = getattr(answerer, method)(*given), None
            except LedgerError as error:
                answer = None, str(error)
            pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
