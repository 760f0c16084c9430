"""tollkeeper report: a month for finance, by person, group, project and model, with what it will come to."""

import stat
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from proxy.cli.ledger_options import Source, database_option, open_source
from proxy.cli.settings import config_option
from proxy.core.errors import SetupError

if TYPE_CHECKING:
    from proxy.storage.finance import MonthQuestion, MonthReport

_FORMS = ("text", "html", "csv", "json")
_ENDINGS = {".txt": "text", ".html": "html", ".htm": "html", ".csv": "csv", ".json": "json"}
_TOP = 15


@click.command()
@click.argument("month", default="this-month")
@click.option(
    "--format", "form", type=click.Choice(_FORMS), help="Default: by the ending of the file's name, else text."
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("-o", "--output", default="-", help="File to write, whole or not at all; - is stdout.", show_default=True)
@click.option("--project", default="use_case", show_default=True, help="What a project is: use_case or tag:NAME.")
@click.option("--top", type=click.IntRange(1), default=_TOP, show_default=True, help="Rows of a table of text or HTML.")
@click.option("--growth", default="0%/month", show_default=True, help="Pace of the projection: 5%/month, 60%/year.")
@click.option("--roi", is_flag=True, help="Compare the cost with --revenue: margin, return, break-even.")
@click.option("--revenue", help="What comes in, such as $500/month.")
@click.option("--cost-of", "part", help="Compare only this part's cost, such as use_case=invoices or user=anna.")
@database_option
@config_option
def report(
    month: str,
    form: str | None,
    output: str,
    project: str,
    top: int,
    growth: str,
    revenue: str | None,
    part: str | None,
    database: Path | None,
    config_path: Path | None,
    *,
    as_json: bool,
    roi: bool,
) -> None:
    """Show what a MONTH such as 2026-11 cost, for finance. Default: this month, with a forecast.

    Works while the proxy runs, and when it does not. All tables add up to the same total, which is that of usage.
    """
    from proxy.core.clock import SystemClock  # noqa: PLC0415 - keeps --help quick

    if as_json and form not in (None, "json"):
        raise click.UsageError("Give --json or --format.")
    form = "json" if as_json else form or _form_of(output)
    source = open_source(config_path, database)
    now_ms = SystemClock().now_ms()
    question = _question(source, month, now_ms)
    question = replace(question, project=_project(project), growth=_growth(growth))
    question = replace(question, revenue_pusd=_revenue(revenue, part, roi=roi), part=_part(part, question.words))
    found = _read(source, question, now_ms)
    text = _rendered(found, source.currency_code, form, top)
    if output == "-":
        click.echo(text, nl=False, color=True)  # as it is: else names in CSV would lose their colours
    else:
        _write(Path(output), text)
    if part is not None and found.outlook.break_even is not None and not found.outlook.break_even.cost_pusd:
        click.echo(f"Note: {part} cost nothing in that month: is it written as in the table?", err=True)


def _form_of(output: str) -> str:
    ending = Path(output).suffix.lower()
    if output == "-" or not ending:
        return "text"
    if ending not in _ENDINGS:
        raise click.BadParameter(
            f"{ending} files are not written. Name it {', '.join(_ENDINGS)}, or say --format.", param_hint="--output"
        )
    return _ENDINGS[ending]


def _revenue(text: str | None, part: str | None, *, roi: bool) -> int | None:
    from proxy.policy.projection import ProjectionError, read_revenue  # noqa: PLC0415 - keeps --help quick

    if not roi:
        if text is not None or part is not None:
            raise click.UsageError("--revenue and --cost-of belong to --roi.")
        return None
    if text is None:
        raise click.UsageError("--roi needs --revenue, such as --revenue '$500/month'.")
    try:
        return read_revenue(text)
    except ProjectionError as error:
        raise click.BadParameter(str(error), param_hint="--revenue") from None


def _question(source: Source, month: str, now_ms: int) -> "MonthQuestion":
    """Return which month is wanted; raises click.BadParameter."""
    from proxy.policy.period import read_month  # noqa: PLC0415 - keeps --help quick
    from proxy.storage.finance import MonthQuestion, month_name  # noqa: PLC0415

    try:
        start_ms, end_ms = read_month(month, source.zone, now_ms)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="MONTH") from None
    name = month_name(start_ms, source.zone)
    if start_ms > now_ms:
        raise click.BadParameter(f"{name} has not begun.", param_hint="MONTH")
    return MonthQuestion(name, start_ms, end_ms, source.zone, source.rates)


def _project(text: str) -> str:
    from proxy.storage.finance import read_project  # noqa: PLC0415 - keeps --help quick

    try:
        return read_project(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--project") from None


def _growth(text: str) -> Decimal:
    from proxy.policy.projection import ProjectionError, read_growth  # noqa: PLC0415 - keeps --help quick

    try:
        return read_growth(text)
    except ProjectionError as error:
        raise click.BadParameter(str(error), param_hint="--growth") from None


def _part(text: str | None, words: tuple[str, ...]) -> tuple[str, str] | None:
    from proxy.storage.finance import read_part  # noqa: PLC0415 - keeps --help quick

    try:
        return None if text is None else read_part(text, words)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--cost-of") from None


def _read(source: Source, question: "MonthQuestion", now_ms: int) -> "MonthReport":
    from proxy.cli.progress import Progress  # noqa: PLC0415 - keeps --help quick
    from proxy.storage.finance import read_month_report  # noqa: PLC0415
    from proxy.storage.spending import is_of_rows  # noqa: PLC0415

    if not is_of_rows(question.project):
        return read_month_report(source.reports, question, now_ms)
    with Progress("report") as progress:
        return read_month_report(source.reports, question, now_ms, progress.at)


def _rendered(found: "MonthReport", currency: str, form: str, top: int) -> str:
    from proxy.cli.report_data import report_csv, report_json  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.report_html import report_html  # noqa: PLC0415
    from proxy.cli.report_text import report_text  # noqa: PLC0415

    match form:
        case "html":
            return report_html(found, currency, top)
        case "csv":
            return report_csv(found, currency)
        case "json":
            return report_json(found, currency)
        case _:
            return report_text(found, currency, top)


def _write(path: Path, text: str) -> None:
    """Write a file, whole or not at all, mode 0600; a device is written as it is."""
    from proxy.cli.private_file import write_private  # noqa: PLC0415 - keeps --help quick

    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            path.write_text(text, encoding="utf-8")
        else:
            write_private(path, text)
    except OSError as error:
        raise SetupError(f"{path}: cannot be written ({error.strerror}).") from None
    click.echo(f"{path} is written.", err=True)
