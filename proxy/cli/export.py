"""tollkeeper export: the rows of view `usage`, their sums, or charges as FOCUS has them, as a file."""

import os
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING
from zoneinfo import ZoneInfo

import click
from msgspec.structs import replace

from proxy.cli.ledger_options import check_users, open_source, range_ms, range_options
from proxy.core.errors import SetupError

if TYPE_CHECKING:
    from proxy.cli.ledger_options import Source
    from proxy.storage.export import Chunk, Selection
    from proxy.storage.focus import FocusVersion

_ENDINGS = {".csv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_HOUR_MS = 3_600_000
_PAGE = 1000


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl", "parquet", "focus"]),
    help="focus: the FinOps Open Cost and Usage Specification, as CSV. Default: by the ending of the file's name, else"
    " csv.",
)
@click.option("--focus-version", type=click.Choice(["1.2", "1.4"]), help="Of --format focus. Default: 1.4.")
@click.option("--summary", metavar="WORDS", help="Sums instead of rows, by the words of tollkeeper usage --by.")
@click.option("-o", "--output", default="-", help="File to write, whole or not at all; - is stdout.", show_default=True)
@click.option("--user", "users", multiple=True, help="Only this user; may be repeated.")
@click.option("--model", "models", multiple=True, help='Only these models, such as "openai/*"; may be repeated.')
@click.option("--columns", help="Comma-separated list of columns, in this order. Default: all.")
@range_options
def export(
    form: str | None,
    focus_version: "FocusVersion | None",
    summary: str | None,
    output: str,
    users: tuple[str, ...],
    models: tuple[str, ...],
    columns: str | None,
    since: str | None,
    until: str | None,
    month: str | None,
    database: Path | None,
    config_path: Path | None,
) -> None:
    """Write a row for each request, or sums, as a file. Works while the proxy runs, and when it does not.

    Dates of --format focus are days of UTC, as its charge periods are.
    """
    from proxy.cli.usage_summary import read_summary_words, summary_chunks  # noqa: PLC0415 - keeps --help quick
    from proxy.core.clock import SystemClock  # noqa: PLC0415
    from proxy.storage.export import Selection  # noqa: PLC0415

    form = form or _form_of(output)
    _check(form, focus_version, summary, columns, output)
    chosen = _columns(columns)
    words = None if summary is None else read_summary_words(summary)
    source = open_source(config_path, database)
    if form == "focus":
        source = replace(source, zone=ZoneInfo("UTC"))
    check_users(source, users)
    since_ms, until_ms = range_ms(source, since, until, month, SystemClock().now_ms())
    selection = Selection(chosen, since_ms, until_ms, users, models)
    if words is not None:
        chunks = summary_chunks(source, words, selection, form)
    else:
        chunks = _chunks(source, form, focus_version or "1.4", selection)
        if form != "focus" and "cost_local" in chosen:
            _say_older_currency(source)
    rows = 0
    with _opened(output) as file:
        for chunk in _with_progress(chunks, output):
            file.write(chunk.data)
            rows += chunk.rows
    click.echo(f"{rows} rows", err=True)
    if words is None and form != "focus":
        _say_rowless(source, selection)
    elif models:
        _say_removed(source, _of_full_hours(selection) if words is None else selection)


def _say_older_currency(source: "Source") -> None:
    """Say in which currency cost_local is where no proxy has run with the configured one yet."""
    kept = source.reports.labels().currency_code
    if kept != source.currency_code:
        click.echo(
            f"Note: cost_local is in {kept}, as the ledger has it: tollkeeper serve takes {source.currency_code} up.",
            err=True,
        )


def _say_rowless(source: "Source", selection: "Selection") -> None:
    """Say what was charged in the time and belongs to no row: only the provider's bill knows of these calls."""
    from proxy.core.money import pusd_to_usd  # noqa: PLC0415 - keeps --help quick
    from proxy.storage.adjustment import AdjustmentFilter  # noqa: PLC0415

    if selection.users or selection.models:
        return  # they belong to nobody
    since_ms, until_ms = selection.since_ms or 0, selection.until_ms
    total_pusd, before_id = 0, None
    while page := source.reports.adjustments(AdjustmentFilter(is_unattached=True), before_id, _PAGE):
        of_time = [one for one in page if one.at_ms >= since_ms and (until_ms is None or one.at_ms < until_ms)]
        total_pusd += sum(one.amount_pusd for one in of_time)
        before_id = page[-1].id
    if total_pusd:
        text = f"{pusd_to_usd(total_pusd)} USD that only the bill knows of belong to no row"
        click.echo(f"Note: {text}: they are in --summary, --format focus, usage and report.", err=True)


def _say_removed(source: "Source", selection: "Selection") -> None:
    """Say of how many requests retention has left only the model that answered: they are not found by the other."""
    from proxy.storage.spending import UsageSelection  # noqa: PLC0415 - keeps --help quick

    wanted = UsageSelection(("user", "requested_model"), selection.since_ms, selection.until_ms)
    rows = source.reports.usage(wanted, source.zone).rows
    removed = [row for row in rows if not row.key[1] and (not selection.users or row.key[0] in selection.users)]
    if count := sum(row.requests for row in removed):
        text = f"of {count} requests in that time retention has removed the rows"
        click.echo(f"Note: {text}: --model finds them by the model that answered alone.", err=True)


def _check(form: str, focus_version: str | None, summary: str | None, columns: str | None, output: str) -> None:
    """Raise click.UsageError for options that mean nothing together."""
    if focus_version is not None and form != "focus":
        raise click.UsageError("--focus-version is of --format focus.")
    if summary is not None and form not in ("csv", "jsonl"):
        raise click.UsageError("--summary is written as csv or jsonl.")
    if columns is not None and (summary is not None or form == "focus"):
        raise click.UsageError("--columns are those of single rows: leave it out here.")
    if form == "parquet" and output == "-" and sys.stdout.isatty():
        raise click.UsageError("Parquet is not for a terminal. Name a file with -o.")


def _chunks(source: "Source", form: str, focus_version: "FocusVersion", selection: "Selection") -> "Iterator[Chunk]":
    reports = source.reports
    match form:
        case "csv":
            return reports.export_csv(selection, _cores())
        case "jsonl":
            from proxy.storage.export import jsonl_chunks  # noqa: PLC0415 - each format its own

            return jsonl_chunks(reports.export(selection), selection.columns)
        case "parquet":
            from proxy.storage.parquet import parquet_chunks  # noqa: PLC0415 - as above

            return parquet_chunks(reports.export(selection), selection.columns)
        case _:
            from proxy.storage.focus import focus_chunks  # noqa: PLC0415 - as above

            return focus_chunks(reports.charges(_of_full_hours(selection)), focus_version)


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _of_full_hours(selection: "Selection") -> "Selection":
    """Return the selection from the hour on in which it begins, up to that in which it ends: 7d is no full hour."""
    since_ms, until_ms = selection.since_ms, selection.until_ms
    return replace(
        selection,
        since_ms=None if since_ms is None else since_ms // _HOUR_MS * _HOUR_MS,
        until_ms=None if until_ms is None else until_ms // _HOUR_MS * _HOUR_MS,
    )


def _form_of(output: str) -> str:
    """Return the format that a file's name asks for; raises click.BadParameter for one that is not written here."""
    ending = Path(output).suffix.lower()
    if not ending or output == "-" or (Path(output).exists() and not Path(output).is_file()):
        return "csv"
    if ending not in _ENDINGS:
        raise click.BadParameter(
            f"{ending} files are not written. Name it .csv, .jsonl (.ndjson) or .parquet, or say --format:"
            " spreadsheets read CSV, and pandas, polars and duckdb all of them.",
            param_hint="--output",
        )
    return _ENDINGS[ending]


def _columns(text: str | None) -> tuple[str, ...]:
    from proxy.storage.export import COLUMNS  # noqa: PLC0415 - keeps --help quick

    if text is None:
        return COLUMNS
    chosen = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in chosen if name not in COLUMNS]
    if unknown or not chosen:
        raise click.BadParameter(
            f"{', '.join(unknown) or 'nothing'}: no such column. The columns are: {', '.join(COLUMNS)}",
            param_hint="--columns",
        )
    if len(set(chosen)) < len(chosen):
        raise click.BadParameter("a column is named twice.", param_hint="--columns")
    return chosen


@contextmanager
def _opened(output: str) -> Iterator[IO[bytes]]:
    """Open stdout, a device, or a file that takes its name only when it is whole."""
    if output == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(output).resolve()
    half = path.with_name(f".{path.name}.half")
    before = signal.signal(signal.SIGTERM, _end)  # else half a file would stay
    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            with path.open("wb") as file:
                yield file
            return
        half.unlink(missing_ok=True)
        half.touch(mode=0o600, exist_ok=False)
        with half.open("wb") as file:
            yield file
        half.replace(path)
    except OSError as error:
        raise SetupError(f"{output}: cannot be written ({error.strerror}).") from None
    finally:
        half.unlink(missing_ok=True)
        signal.signal(signal.SIGTERM, before)


def _end(number: int, frame: object) -> None:  # noqa: ARG001 - signal's signature
    sys.exit(128 + number)


def _with_progress(pieces: "Iterator[Chunk]", output: str) -> "Iterator[Chunk]":
    """Yield the chunks and show the progress; no bar where the rows go to the same terminal."""
    from proxy.cli.progress import Progress  # noqa: PLC0415 - keeps --help quick

    with Progress("export", quiet=output == "-" and sys.stdout.isatty()) as progress:
        for piece in pieces:
            yield piece
            progress.at(piece.done)
