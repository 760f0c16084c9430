"""Progress of long jobs, on stderr: a bar on a terminal, a line every few seconds elsewhere."""

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

_EVERY_S = 5.0


class Progress:
    """Tell how far a job is, from the beginning of the block to its end. what: a word for it, such as audit."""

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        """Set quiet where the job's output goes to the same terminal, so that no bar runs through it."""
        self._what = what
        self._is_drawn = sys.stderr.isatty() and not quiet
        self._is_told = not sys.stderr.isatty()
        self._step = ""
        self._done: float | None = None
        self._began_s = time.monotonic()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        if self._is_drawn:
            self._bar = self._drawn()
            self._bar.start()
        elif self._is_told:
            self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._bar is not None:
            self._bar.stop()
        if self._thread is not None:
            self._thread.join()

    def at(self, done: float | None, step: str = "") -> None:
        """Show how far the job is, from 0 to 1 (None: unknown), and what it is doing."""
        self._done, self._step = done, step
        if self._bar is not None:
            total = None if done is None else 1.0
            self._bar.update(
                self._bar.task_ids[0], total=total, completed=done, description=f"{self._what} {step}".strip()
            )

    def _drawn(self) -> "Bar":
        from rich import progress as rich  # noqa: PLC0415 - costs 40 ms; wanted only where it draws
        from rich.console import Console  # noqa: PLC0415

        told = rich.TextColumn("{task.description}")
        columns = (rich.SpinnerColumn(), told, rich.BarColumn(), rich.TaskProgressColumn(), rich.TimeElapsedColumn())
        bar = rich.Progress(*columns, console=Console(stderr=True), transient=True)
        bar.add_task(self._what, total=None)  # until the first step says how far it is
        return bar

    def _tell(self) -> None:
        while not self._ended.wait(_EVERY_S):
            click.echo(self._line(), err=True)

    def _line(self) -> str:
        done = "" if self._done is None else f"{self._done:.0%}"
        where = ", ".join(part for part in (self._step, done) if part)
        return f"{self._what}: {where} after {time.monotonic() - self._began_s:.0f} s".replace(":  ", ": ")
