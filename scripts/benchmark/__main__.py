"""scripts/bench: CPU, latency, memory and start of tollkeeper beside nginx and a bare relay of aiohttp, in one run."""

import argparse
import asyncio
import datetime as dt
import json
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

import frames
import hold_ipc
import instructions
import peers
import stages
from figures import Figures
from gates import GATE_COLUMNS, Verdict, over, verdicts
from machine import BenchError, describe, require_tools, run_on_core, two_cores
from page import PAGE, write_tables
from plan import FULL, SHORT, Plan
from report import COLUMNS, Line, count_text, gate_text, ledger_count_text, lines, markdown, table_text
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rounds import Bench
from systems import Tollkeeper

_HOLD_S = "3"  # a way and number at once
_EVIDENCE = Path(__file__).resolve().parents[2] / "docs" / "evidence"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        epilog="Exit codes: 0 measured and the books agree, 1 they do not, 2 nothing "
        "measured, 3 a gate is over (--gate). Without --gate no figure fails the run: gates are printed as ok or over.",
    )
    parser.add_argument(
        "--short",
        action="store_true",
        help="less than a minute instead of seven; rougher figures, and gates of its own",
    )
    parser.add_argument(
        "--instructions",
        action="store_true",
        help="count the instructions of a request, a chunk and a stream's ends instead, by valgrind: minutes, no noise",
    )
    parser.add_argument(
        "--frames",
        nargs="?",
        const="",
        metavar="KIND",
        help="count the Python frames of a request on its way instead; KIND (such as streamed) prints the way itself",
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="measure beside LiteLLM and Portkey's gateway instead, which are set up in ~/.cache; five minutes",
    )
    parser.add_argument(
        "--stages",
        action="store_true",
        help="say where the instructions of a plain request go instead, by room and by library; half a minute",
    )
    parser.add_argument(
        "--hold",
        action="store_true",
        help="measure a hold that is asked of another process instead; half a minute",
    )
    parser.add_argument(
        "--gate",
        type=float,
        nargs="?",
        const=1.0,
        metavar="TIMES",
        help="fail where a gate is over; TIMES widens them all, for a short run or a machine with company",
    )
    parser.add_argument(
        "--compiled",
        action="store_true",
        help="measure the compiled build; --report writes docs/evidence/bench-compiled-DATE.md and .json, and no page",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds as JSON")
    parser.add_argument(
        "--report",
        action="store_true",
        help="write docs/evidence/bench-DATE.md and .json, and the tables of docs/trust/benchmarks.md",
    )
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path("/var/tmp"),  # noqa: S108  a real disk; we make a folder of our own in it
        help="where the ledger lies meanwhile; a real disk, for requests wait for it (default %(default)s)",
    )
    return parser.parse_args()


def measure(plan: Plan, parent: Path, console: Console) -> Figures:
    with (
        tempfile.TemporaryDirectory(prefix="tollkeeper-bench-", dir=parent) as folder,
        steps_of(console) as (progress, task, say),
    ):
        bench = Bench(Path(folder), plan, two_cores(), say)
        counts = instructions.steps(chunks=not plan.short)
        progress.update(task, total=bench.steps + counts)
        figures = bench.run()
        if counts:
            figures.instructions = instructions.measure_once(
                Path(folder), two_cores(), say, plan.counted_requests, chunks=not plan.short
            )
        return figures


def measure_peers(arguments: argparse.Namespace, console: Console) -> int:
    """Measure beside other gateways; print the table, and keep it where that is asked for."""
    require_tools()
    peers.set_up(lambda what: console.print(f"bench: {what}", highlight=False, markup=False))
    with (
        tempfile.TemporaryDirectory(prefix="tollkeeper-bench-", dir=arguments.dir) as folder,
        steps_of(console) as (progress, task, say),
    ):
        bench = peers.PeerBench(Path(folder), two_cores(), say)
        progress.update(task, total=bench.steps)
        figures = bench.run()
    text = f"{peers.versions(describe())} {peers.sentence(figures)}"
    keep_table(arguments, "peers", peers.COLUMNS, peers.rows(figures), text, figures.as_json())
    return 0


def measure_hold(arguments: argparse.Namespace, console: Console) -> int:
    """Measure a hold here and in another process; print the table, and keep it where that is asked for."""
    console.print("bench: holds here and in another process (half a minute)", highlight=False)
    with tempfile.TemporaryDirectory(prefix="tollkeeper-bench-", dir=arguments.dir) as folder:
        ours, place = Tollkeeper(Path(folder) / "ours", two_cores()[0], upstream_port=1), Path(folder) / "holds"
        place.mkdir()
        core, other_core = map(str, two_cores())
        script = [sys.executable, str(Path(hold_ipc.__file__)), str(ours.config), ours.limited_token, str(place)]
        found = json.loads(run_on_core(two_cores()[0], [*script, core, other_core, _HOLD_S]))
    about = describe()
    text = f"{about['cpu']}; Python {about['python']}; commit {about['commit']}."
    keep_table(arguments, "hold", hold_ipc.COLUMNS, hold_ipc.rows(found["ways"]), text, found)
    for fault in found["faults"]:
        console.print(f"bench: {fault}", style="red", highlight=False, markup=False)
    return 1 if found["faults"] else 0


def measure_stages(arguments: argparse.Namespace, console: Console) -> int:
    """Count where the instructions of a plain request go; print the table, and keep it where that is asked for."""
    instructions.require_valgrind()
    with tempfile.TemporaryDirectory(prefix="tollkeeper-bench-", dir=arguments.dir) as folder:
        rooms, libraries = stages.measure(
            Path(folder), two_cores(), lambda what: console.print(f"bench: {what}", highlight=False)
        )
    about = describe()
    text = f"A plain request, event loop; Python {about['python']}; commit {about['commit']}."
    found: dict[str, object] = {"rooms": rooms, "libraries": libraries}
    keep_table(arguments, "stages", stages.COLUMNS, stages.rows(rooms, libraries), text, found)
    return 0


def keep_table(
    arguments: argparse.Namespace,
    name: str,
    columns: tuple[str, ...],
    rows: list[tuple[str, ...]],
    text: str,
    figures: dict[str, object],
) -> None:
    """Print a table; write its run as JSON, and the table into the page, where that is asked for."""
    output = Console(width=None if sys.stdout.isatty() else 200)
    output.print(table_of(text, columns, rows))
    now = dt.datetime.now(tz=dt.UTC)
    document = json.dumps({"when": now.isoformat(), "machine": describe(), "text": text, **figures}, indent=1) + "\n"
    if arguments.json:
        arguments.json.write_text(document)
    if arguments.report:
        kind = f"{name}-compiled" if arguments.compiled else name
        (_EVIDENCE / f"{kind}-{now:%Y-%m-%d}.json").write_text(document)
    if arguments.report and not arguments.compiled:  # the page's figures are the pure build's
        above = textwrap.fill(f"{text} {now:%Y-%m-%d}.", 120)  # a page has no longer lines
        write_tables(PAGE, {name: f"{above}\n\n{table_text(columns, rows)}"})


@contextmanager
def steps_of(console: Console) -> Iterator[tuple[Progress, TaskID, Callable[[str], None]]]:
    """Show how far a run is: a bar on a terminal, a line a step in a log."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, refresh_per_second=2) as progress:
        task = progress.add_task("starting")

        def say(what: str) -> None:
            progress.update(task, advance=1, description=what)
            if not console.is_terminal:
                console.print(f"bench: {what}", highlight=False, markup=False)

        yield progress, task, say


def count(parent: Path, console: Console) -> int:
    """Print the instructions of a request, of one chunk more of a stream, and of a stream without its chunks."""
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


def table_of(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="left" if not column else "right")
    for cells in rows:
        *texts, last = (text.replace("[", r"\[") for text in cells)
        style = {"ok": "green", "aim reached": "green", "over": "red"}.get(last, "")
        table.add_row(*texts, f"[{style}]{last}[/]" if style else last)
    return table


def show(figures: Figures, how: str, measured: list[Line], held: list[Verdict]) -> None:
    """Print the figures, what they are held to, and what was counted."""
    about = describe()
    output = Console(width=None if sys.stdout.isatty() else 200)  # a log has no width of its own
    output.print(
        table_of(
            f"{about['cpu']}; nginx {about['nginx']}; commit {about['commit']}",
            COLUMNS,
            [one.cells for one in measured],
        )
    )
    output.print(table_of("What is promised", GATE_COLUMNS, [one.cells for one in held]))
    output.print(f"{how} Medians of interleaved rounds, [smallest..largest].", markup=False, highlight=False)
    output.print(f"Count: {count_text(figures.counts)}", markup=False, highlight=False)
    if figures.ledger_counts:
        output.print(f"Ledger alone: {ledger_count_text(figures.ledger_counts)}", markup=False, highlight=False)


def _how(plan: Plan, *, compiled: bool) -> str:
    return f"{'Short run: rough figures.' if plan.short else 'Full run.'}{' The compiled build.' if compiled else ''}"


def keep(
    arguments: argparse.Namespace, figures: Figures, plan: Plan, measured: list[Line], held: list[Verdict]
) -> None:
    """Write the run as JSON and as a document, and the page's tables, where that is asked for."""
    now, about = dt.datetime.now(tz=dt.UTC), {**describe(), "how": _how(plan, compiled=arguments.compiled)}
    document = {
        "when": now.isoformat(), "machine": about, "plan": asdict(plan),
        "gates": [one.as_json() for one in held], **figures.as_json(),
    }  # fmt: skip
    text = json.dumps(document, indent=1) + "\n"
    if arguments.json:
        arguments.json.write_text(text)
    if arguments.report:
        _EVIDENCE.mkdir(parents=True, exist_ok=True)
        file = _EVIDENCE / f"bench-{'compiled-' if arguments.compiled else ''}{now:%Y-%m-%d}.md"
        file.write_text(markdown(measured, held, figures, about, f"{now:%Y-%m-%d}"))
        file.with_suffix(".json").write_text(text)
        where = f"{about['cpu']}; Python {about['python']}; commit {about['commit']}; {now:%Y-%m-%d}. {about['how']}"
        figures_text = table_text(COLUMNS, [one.cells for one in measured])
        if not arguments.compiled:  # the page's figures are the pure build's
            write_tables(PAGE, {"gates": f"{where}\n\n{gate_text(held)}", "all": figures_text})
        pages = "" if arguments.compiled else f" and {PAGE}"
        Console(stderr=True, soft_wrap=True).print(f"bench: wrote {file}, its .json{pages}", highlight=False)


def main() -> int:
    arguments = parse()
    talk = Console(stderr=True, soft_wrap=True)
    plan = SHORT if arguments.short else FULL
    try:
        if arguments.instructions:
            return count(arguments.dir, talk)
        if arguments.frames is not None:
            return follow(arguments.frames, arguments.dir)
        if arguments.hold:
            return measure_hold(arguments, talk)
        if arguments.stages:
            return measure_stages(arguments, talk)
        if arguments.peers:
            return measure_peers(arguments, talk)
        require_tools()
        if arguments.gate is not None:
            instructions.require_valgrind()
        figures = measure(plan, arguments.dir, talk)
        measured = lines(figures, plan)
        held = verdicts(figures, short=plan.short, cpu=describe()["cpu"], slack=arguments.gate or 1.0)
        show(figures, _how(plan, compiled=arguments.compiled), measured, held)
        keep(arguments, figures, plan, measured, held)
    except BenchError as error:
        talk.print(f"bench: {error}", style="red", highlight=False, markup=False)
        return 2
    if not figures.agree:
        return 1
    failed = over(held) if arguments.gate is not None else []
    for text in failed:
        talk.print(f"bench: over its gate: {text}", style="red", highlight=False, markup=False)
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
