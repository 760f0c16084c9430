"""tollkeeper export: the rows of view `usage` as a file."""

import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from proxy.cli.ledger_options import check_users, open_source, range_ms, range_options
from proxy.core.errors import SetupError

if TYPE_CHECKING:
    from proxy.storage.export import Chunk

_ENDINGS = {".csv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl"]),
    help="Default: by the ending of the file's name, else csv.",
)
@click.option("-o", "--output", default="-", help="File to write, whole or not at all; - is stdout.", show_default=True)
@click.option("--user", "users", multiple=True, help="Only this user; may be repeated.")
@click.option("--model", "models", multiple=True, help='Only these models, such as "openai/*"; may be repeated.')
@click.option("--columns", help="Comma-separated list of columns, in this order. Default: all.")
@range_options
def export(
    form: str | None,
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
    """Write one row for each request, as CSV or JSON lines. Works while the proxy runs, and when it does not."""
    from proxy.core.clock import SystemClock  # noqa: PLC0415 - keeps --help quick
    from proxy.storage.export import Selection, jsonl_chunks  # noqa: PLC0415

    form = form or _form_of(output)
    chosen = _columns(columns)
    source = open_source(config_path, database)
    check_users(source, users)
    since_ms, until_ms = range_ms(source, since, until, month, SystemClock().now_ms())
    selection = Selection(chosen, since_ms, until_ms, users, models)
    chunks = (
        source.reports.export_csv(selection)
        if form == "csv"
        else jsonl_chunks(source.reports.export(selection), chosen)
    )
    rows = 0
    with _opened(output) as file:
        for chunk in _with_progress(chunks, output):
            file.write(chunk.data)
            rows += chunk.rows
    click.echo(f"{rows} rows", err=True)


def _form_of(output: str) -> str:
    """Return the format that a file's name asks for; raises click.BadParameter for one that is not written here."""
    ending = Path(output).suffix.lower()
    if not ending or output == "-" or (Path(output).exists() and not Path(output).is_file()):
        return "csv"
    if ending not in _ENDINGS:
        raise click.BadParameter(
            f"{ending} files are not written. Name it .csv or .jsonl (.ndjson), or say --format: spreadsheets, pandas,"
            " polars and duckdb read both.",
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


def _with_progress(pieces: "Iterator[Chunk]", output: str) -> "Iterator[Chunk]":
    """Yield the chunks and show the progress; no bar where the rows go to the same terminal."""
    from proxy.cli.progress import Progress  # noqa: PLC0415 - keeps --help quick

    with Progress("export", quiet=output == "-" and sys.stdout.isatty()) as progress:
        for piece in pieces:
            yield piece
            progress.at(piece.done)
