"""scripts/storm: does anybody overspend, is anything lost? Eight sections from one seed, each with its own verdict."""

import argparse
import contextlib
import secrets
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from proxy.core.build import IS_COMPILED

from .processes import ROOT, ProcessError
from .report import Ran, difference_lines, shown, verdict, write_page
from .sections import SECTIONS, Section, Setting, run_section

_EVIDENCE = ROOT / "docs" / "evidence"
_FAILED, _NOT_RUN, _STOPPED = 1, 2, 130


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/storm",
        description=__doc__,
        epilog="Exit codes: 0 nothing differs, 1 something does, 2 a section could not run, 130 it was stopped.",
    )
    names = [section.name for section in SECTIONS]
    parser.add_argument("--seed", type=int, help="what is drawn follows from it (default: a new one, printed)")
    parser.add_argument("--short", action="store_true", help="all of it in less than a minute")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    for section in SECTIONS:
        help_ = f"{section.unit} in its section (default {section.full:,}, short {section.short:,})"
        parser.add_argument(f"--{section.name}", type=int, metavar="N", help=help_)
    parser.add_argument("--clients", type=int, default=50, help="at once (default %(default)s)")
    parser.add_argument("--report", action="store_true", help="write docs/evidence/storm-DATE.md, or renew parts of it")
    parser.add_argument(
        "--compiled", action="store_true", help="on the compiled build; its report is a page of its own"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave ledgers and logs in this new folder")
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path("/var/tmp"),  # noqa: S108  a real disk; we make a folder of our own in it
        help="where the ledgers lie meanwhile; a real disk, for requests wait for it (default %(default)s)",
    )
    arguments = parser.parse_args()
    if arguments.compiled and not IS_COMPILED:
        parser.error("--compiled: this checkout is pure; scripts/storm --compiled compiles it first")
    if arguments.seed is None:
        arguments.seed = secrets.randbelow(10**6)
    if min([arguments.clients, *(size_of(section, arguments) for section in SECTIONS)]) < 1:
        parser.error("numbers must be at least 1")
    return arguments


def size_of(section: Section, arguments: argparse.Namespace) -> int:
    size: int | None = getattr(arguments, section.name.replace("-", "_"))
    return (section.short if arguments.short else section.full) if size is None else size


@contextlib.contextmanager
def progress(console: Console, name: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Give a function that shows how far the section is: a bar on a terminal, a line a tenth elsewhere."""
    columns = (
        TextColumn(name),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    shown_tenth = -1
    with Progress(*columns, console=console, disable=not console.is_terminal, refresh_per_second=4) as bar:
        task = bar.add_task("", total=total)

        def say(done: int, what: str) -> None:
            nonlocal shown_tenth
            bar.update(task, completed=done, description=what)
            tenth = done * 10 // total
            if not console.is_terminal and tenth != shown_tenth:
                shown_tenth = tenth
                console.print(f"{name}: {tenth * 10} %", highlight=False)

        yield say


@contextlib.contextmanager
def folder_in(parent: Path, keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(mode=0o700, parents=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="tollkeeper-storm-", dir=parent) as folder:
        yield Path(folder)


def command_of(section: Section, arguments: argparse.Namespace) -> str:
    """Give the command that runs this section alone as it ran now."""
    parts = ["scripts/storm", "--only", section.name, "--seed", str(arguments.seed)]
    size = size_of(section, arguments)
    if IS_COMPILED:
        parts.append("--compiled")
    if arguments.short:
        parts.append("--short")
    if size != (section.short if arguments.short else section.full):
        parts += [f"--{section.name}", str(size)]
    return shlex.join(parts)


def run(section: Section, arguments: argparse.Namespace, folder: Path, console: Console) -> Ran:
    own = folder / section.name
    own.mkdir(mode=0o700)
    size = size_of(section, arguments)
    with progress(console, section.name, size) as say:
        setting = Setting(arguments.seed, size, own, arguments.clients, arguments.short)
        result, took_s = run_section(section, setting, say)
    return Ran(section, size, arguments.seed, took_s, result, command_of(section, arguments))


def show(ran: Ran) -> None:
    """Print what a section found."""
    for title, counts in ran.result.tables:
        table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
        table.add_column()
        table.add_column(justify="right")
        for name, count in counts:
            table.add_row(name, shown(count))
        Console().print(table)
    print(f"{ran.section.name}, seed {ran.seed}, {ran.took_s:.0f} s: {verdict(ran.result.differences)}")
    for line in difference_lines(ran.result.differences):
        print(f"  {line}")
    print(flush=True)


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that being told to stop also ends what it started
    arguments = parse()
    console = Console(stderr=True, soft_wrap=True)
    console.print(f"storm: seed {arguments.seed}", highlight=False)
    code = 0
    with folder_in(arguments.dir, arguments.keep) as folder:
        for section in SECTIONS:
            if arguments.only and section.name not in arguments.only:
                continue
            try:
                ran = run(section, arguments, folder, console)
            except (ProcessError, OSError) as error:
                console.print(f"storm: {section.name} could not run: {error}", highlight=False)
                code = code or _NOT_RUN
                continue
            except KeyboardInterrupt:
                console.print("storm: stopped", highlight=False)
                return _STOPPED
            show(ran)
            if ran.result.differences:
                code = _FAILED
            if arguments.report:
                print(f"written: docs/evidence/{write_page(_EVIDENCE, [ran]).name}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
