"""A day's calls in a process of their own, which gives way to all others: asked through pipes, an answer at a time.

python -m proxy.jobs.reconciliation.call_process DAY_MS OPEN FILE: OPEN names what opens FILE for reports, as
package.module:function, for which kind of ledger it is is not known here.
"""

import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NamedTuple

from proxy.core.child_python import bare_environ, child_command
from proxy.core.errors import LedgerError
from proxy.core.process_priority import put_back
from proxy.providers.account.source import AccountError


class LedgerPlace(NamedTuple):
    """How another process reads the ledger: by which function, as package.module:function, from which file."""

    opened_by: str
    path: Path


class CallProcess:
    """The process, from the first question on. Its methods block, and are for threads; close() may come at any time."""

    def __init__(self, day_ms: int, place: LedgerPlace) -> None:
        self._command = child_command(__name__, str(day_ms), place.opened_by, str(place.path.absolute()))
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._is_closed = False

    def do(self, method: str, arguments: Sequence[Any]) -> Any:
        """Return what a method of the process's DayCalls returns.

        Raises LedgerError where the ledger cannot be read, AccountError where the process is gone.
        """
        process = self._started()
        try:
            pickle.dump((method, tuple(arguments)), _pipe(process.stdin), pickle.HIGHEST_PROTOCOL)
            _pipe(process.stdin).flush()
            found, problem = pickle.load(_pipe(process.stdout))  # noqa: S301 - it comes from our own program
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):  # ValueError: closed meanwhile
            process.kill()  # what still runs has sent what cannot be read, and would be waited for for ever
            raise _ended(f"has ended with {process.wait()}") from None
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
                raise _ended("was ended")
            if self._process is None:
                try:
                    self._process = subprocess.Popen(  # noqa: S603 - constants, and a path of the configuration
                        self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=bare_environ()
                    )
                    put_back(self._process.pid)
                except OSError as error:
                    raise _ended(f"cannot be started ({error.strerror})") from None
            return self._process


def _ended(how: str) -> AccountError:
    text = (
        f"The process that reads the bill {how}: what it said is on the proxy's standard error; a system that runs out"
        " of memory kills without a word. Nothing was compared. Try again: tollkeeper sync."
    )
    return AccountError("unreadable", text, was_sent=False)  # the provider is not to blame: not asked again and again


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def main(day_ms: str, opened_by: str, path: str) -> None:
    """Answer questions until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it comes to all of a terminal: the one that asked decides
    asked, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a module prints as it is imported is no answer
    gc.disable()  # what a day's calls are made of has no circles, and to look for some takes a third of the time
    from proxy.jobs.reconciliation.day_calls import DayCalls  # noqa: PLC0415 - the one that asks needs none of it

    module, _, name = opened_by.partition(":")
    reports = getattr(import_module(module), name)(Path(path))
    calls = DayCalls(int(day_ms), reports.ledger_day)
    with suppress(EOFError, BrokenPipeError):  # who asked has gone
        while True:
            method, arguments = pickle.load(asked)  # noqa: S301 - it comes from our own program
            answer: tuple[Any, str | None]
            try:
                answer = getattr(calls, method)(*arguments), None
            except LedgerError as error:
                answer = None, str(error)
            pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
