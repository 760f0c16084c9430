"""scripts/bench: CPU, latency, memory and start of tollkeeper beside nginx and a bare relay of aiohttp, in one run."""

import argparse
import asyncio
import datetime as dt
import json
import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path

import frames
import instructions
from machine import BenchError, describe, require_tools, two_cores
from report import COLUMNS, count_text, ledger_count_text, lines, markdown, over
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rounds import FULL, SHORT, Bench, Figures, Plan

_EVIDENCE = Path(__file__).resolve().parents[2] / "docs" / "evidence"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        epilog="Exit codes: 0 measured and the books agree, 1 they do not, 2 nothing "
        "measured, 3 a gate is over (--gate). Without --gate no figure fails the run: gates are printed as ok or over.",
    )
    parser.add_argument(
        "--short", action="store_true", help="less than 90 seconds instead of 10 minutes; rougher figures"
    )
    parser.add_argument(
        "--instructions",
        action="store_true",
        help="count the instructions of a JSON request and of a chunk by valgrind instead: minutes, without noise",
    )
    parser.add_argument(
        "--frames",
        nargs="?",
        const="",
        metavar="KIND",
        help="count the Python frames of a request on its way instead; KIND (such as streamed) prints the way itself",
    )
    parser.add_argument(
        "--gate",
        type=float,
        nargs="?",
        const=1.0,
        metavar="TIMES",
        help="fail where a gate is over; TIMES widens them all, for a short run or a machine with company",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds as JSON")
    parser.add_argument("--report", action="store_true", help="write docs/evidence/bench-DATE.md")
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path("/var/tmp"),  # noqa: S108  a real disk; we make a folder of our own in it
        help="where the ledger lies meanwhile; a real disk, for requests wait for it (default %(default)s)",
    )
    return parser.parse_args()


def measure(plan: Plan, parent: Path, console: Console) -> Figures:
    with tempfile.TemporaryDirectory(prefix="tollkeeper-bench-", dir=parent) as folder:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal, refresh_per_second=2) as progress:
            task = progress.add_task("starting")

            def say(what: str) -> None:
                progress.update(task, advance=1, description=what)
                if not console.is_terminal:
                    console.print(f"bench: {what}", highlight=False)

            bench = Bench(Path(folder), plan, two_cores(), say)
            progress.update(task, total=bench.steps)
            return bench.run()


def count(parent: Path, console: Console) -> int:
    """Print the instructions of a request, and of one chunk more of a stream."""
    instructions.require_valgrind()
    with tempfile.TemporaryDirectory(prefix="tollkeeper-bench-", dir=parent) as folder:
        say = partial(console.print, highlight=False)
        found = instructions.measure(Path(folder), two_cores(), say)
        chunks = instructions.measure_chunks(Path(folder), two_cores(), say)
    table = Table(title=f"Instructions a JSON request; commit {describe()['commit']}")
    for column in ("", "event loop", "other threads", "together"):
        table.add_column(column, justify="left" if not column else "right")
    for name, one in found.items():
        table.add_row(name, f"{one.loop:,}", f"{one.writer:,}", f"{one.loop + one.writer:,}")
    for name, each in chunks.items():
        table.add_row(name, f"{each:,}", "", f"{each:,}")
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    return 0


def follow(kind: str, parent: Path) -> int:
    """Print how many frames, functions and files a request passes; for one kind of request its way, file by file."""
    with tempfile.TemporaryDirectory(prefix="tollkeeper-bench-", dir=parent) as folder:
        found = asyncio.run(frames.ways(Path(folder)))
    if kind:
        if kind not in found:
            raise BenchError(f"--frames knows {', '.join(found)}")
        print(*found[kind].lines(), sep="\n")
        return 0
    table = Table(title=f"The way of a request; commit {describe()['commit']}")
    for column in ("", "frames", "functions", "files", "changes of file"):
        table.add_column(column, justify="left" if not column else "right")
    for name, way in found.items():
        table.add_row(name, *map(str, (len(way.frames), way.functions, way.files, way.changes)))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    return 0


def main() -> int:
    arguments = parse()
    talk = Console(stderr=True, soft_wrap=True)
    plan = SHORT if arguments.short else FULL
    try:
        if arguments.instructions:
            return count(arguments.dir, talk)
        if arguments.frames is not None:
            return follow(arguments.frames, arguments.dir)
        require_tools()
        figures = measure(plan, arguments.dir, talk)
    except BenchError as error:
        talk.print(f"bench: {error}", style="red", highlight=False, markup=False)
        return 2
    measured = lines(figures, plan, arguments.gate or 1.0)
    how = "Short run: rough figures." if arguments.short else "Full run."
    table = Table(title=f"{describe()['cpu']}; nginx {describe()['nginx']}; commit {describe()['commit']}")
    for column in COLUMNS:
        table.add_column(column, justify="left" if not column else "right")
    for one in measured:
        style = {"ok": "green", "over": "red"}.get(one.verdict, "")
        verdict = f"[{style}]{one.verdict}[/]" if style else ""
        table.add_row(*(text.replace("[", r"\[") for text in one.cells[:-1]), verdict)
    width = None if sys.stdout.isatty() else 200  # a log has no width of its own
    output = Console(width=width)
    output.print(table)
    output.print(f"{how} Medians of interleaved rounds, [smallest..largest].", markup=False, highlight=False)
    output.print(f"Count: {count_text(figures.counts)}", markup=False, highlight=False)
    output.print(f"Ledger alone: {ledger_count_text(figures.ledger_counts)}", markup=False, highlight=False)
    now = dt.datetime.now(tz=dt.UTC)
    if arguments.json:
        document = {"when": now.isoformat(), "machine": describe(), "plan": asdict(plan), **figures.as_json()}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    if arguments.report:
        _EVIDENCE.mkdir(parents=True, exist_ok=True)
        file = _EVIDENCE / f"bench-{now:%Y-%m-%d}.md"
        file.write_text(markdown(measured, figures, describe(), f"{now:%Y-%m-%d}", how))
        talk.print(f"bench: wrote {file}", highlight=False)
    if not figures.agree:
        return 1
    failed = over(measured) if arguments.gate is not None else []
    for text in failed:
        talk.print(f"bench: over its gate: {text}", style="red", highlight=False, markup=False)
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
