"""scripts/storm: requests, faults, hang-ups and SIGKILLs; then the simulator's books against the ledger."""

import argparse
import contextlib
import datetime as dt
import secrets
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .draw import draw
from .ledger_kills import KillOutcome, kill_ledger_writers
from .processes import ROOT, ProcessError
from .report import difference_lines, kills_page, kills_table, storm_page, storm_tables, verdict
from .storm import Outcome, storm

_EVIDENCE = ROOT / "docs" / "evidence"
_SHORT_REQUESTS, _SHORT_KILLS, _SHORT_LOOK_UP_S = 600, 3, 5
_LOOK_UP_S = 20


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/storm",
        description=__doc__,
        epilog="Exit codes: 0 books and ledger agree, 1 they do not, 2 the storm could not run.",
    )
    parser.add_argument("--seed", type=int, help="what is drawn follows from it (default: a new one, printed)")
    parser.add_argument("--requests", type=int, default=10_000, help="default %(default)s")
    parser.add_argument("--kills", type=int, default=20, help="SIGKILLs of the proxy (default %(default)s)")
    parser.add_argument("--clients", type=int, default=50, help="at once (default %(default)s)")
    parser.add_argument("--short", action="store_true", help=f"{_SHORT_REQUESTS} requests, {_SHORT_KILLS} kills")
    parser.add_argument("--kills-ledger", type=int, metavar="N", help="instead: SIGKILL the ledger's writer N times")
    parser.add_argument("--report", action="store_true", help="write docs/evidence/storm-DATE.md")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave ledger and logs in this new folder")
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path("/var/tmp"),  # noqa: S108  a real disk; we make a folder of our own in it
        help="where the ledger lies meanwhile; a real disk, for requests wait for it (default %(default)s)",
    )
    arguments = parser.parse_args()
    if arguments.seed is None:
        arguments.seed = secrets.randbelow(10**6)
    if arguments.short:
        arguments.requests, arguments.kills = _SHORT_REQUESTS, _SHORT_KILLS
    if min(arguments.requests, arguments.clients) < 1 or arguments.kills < 0 or (arguments.kills_ledger or 1) < 1:
        parser.error("--requests, --clients and --kills-ledger must be at least 1, --kills at least 0")
    return arguments


@contextlib.contextmanager
def progress(console: Console, total: int) -> Iterator[Callable[[int, str], None]]:
    """Give a function that shows how far the run is: a bar on a terminal, a line a tenth elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    shown = [""]
    with Progress(*columns, console=console, disable=not console.is_terminal, refresh_per_second=4) as bar:
        task = bar.add_task("starting", total=total)

        def say(done: int, what: str) -> None:
            bar.update(task, completed=done, description=what)
            line = f"storm: {done * 10 // total}0 %"
            if not console.is_terminal and line != shown[0]:
                shown[0] = line
                console.print(line, highlight=False)

        yield say


@contextlib.contextmanager
def folder_in(parent: Path, keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(mode=0o700, parents=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="tollkeeper-storm-", dir=parent) as folder:
        yield Path(folder)


def print_counts(title: str, counts: list[tuple[str, int]]) -> None:
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, count in counts:
        table.add_row(name, f"{count:,}")
    Console().print(table)


def run(arguments: argparse.Namespace, console: Console) -> Outcome | KillOutcome:
    total = arguments.kills_ledger or arguments.requests
    with folder_in(arguments.dir, arguments.keep) as folder, progress(console, total) as say:
        if arguments.kills_ledger:
            return kill_ledger_writers(arguments.seed, arguments.kills_ledger, folder, say)
        plan = draw(arguments.seed, arguments.requests, arguments.kills)
        wait_s = _SHORT_LOOK_UP_S if arguments.short else _LOOK_UP_S
        return uvloop.run(storm(plan, folder, clients=arguments.clients, lookup_timeout_s=wait_s, say=say))


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that being told to stop also ends what it started
    arguments = parse()
    console = Console(stderr=True, soft_wrap=True)
    console.print(f"storm: seed {arguments.seed}", highlight=False)
    try:
        outcome = run(arguments, console)
    except (ProcessError, OSError) as error:
        console.print(f"storm: {error}", highlight=False)
        return 2
    except KeyboardInterrupt:
        console.print("storm: stopped", highlight=False)
        return 130
    command = shlex.join(["scripts/storm", *sys.argv[1:]])
    if isinstance(outcome, KillOutcome):
        tables, page, name = [("The run", kills_table(outcome))], kills_page(outcome, command), "storm-ledger"
    else:
        tables, page, name = storm_tables(outcome), storm_page(outcome, command), "storm"
    for title, counts in tables:
        print_counts(title, counts)
    print(f"\nseed {arguments.seed}, {outcome.took_s:.0f} s: {verdict(outcome.differences)}")
    for line in difference_lines(outcome.differences):
        print(f"  {line}")
    if arguments.report:
        path = _EVIDENCE / f"{name}-{dt.datetime.now(dt.UTC):%Y-%m-%d}.md"
        path.write_text(page)
        print(f"written: docs/evidence/{path.name}")
    return 1 if outcome.differences else 0


if __name__ == "__main__":
    sys.exit(main())
