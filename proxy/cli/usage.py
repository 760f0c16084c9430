"""tollkeeper usage: what was spent, by whom and on what."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proxy.cli.ledger_options import Source, check_users, open_source, range_ms, range_options

if TYPE_CHECKING:
    from proxy.storage.reconciliation import HistorySum
    from proxy.storage.spending import SpendingRow, SpendingSums, UnsettledSum, UsageSelection

_FIGURES = ("requests", "errors", "input_tokens", "output_tokens")
_PARTS = ("cached_tokens", "reasoning_tokens")


@click.command()
@click.option(
    "--by",
    default="user",
    show_default=True,
    help="Comma-separated list of user, group, token, key, model, provider, use_case, end_user, endpoint, status,"
    " requested_model, session, tag, tag:NAME, hour, day, week, month.",
)
@click.option("--user", help="Only this user.")
@range_options
@click.option("--top", type=click.IntRange(1), help="The dearest so many; all others in one line.")
@click.option("--columns", help="Comma-separated list of figures to show, in this order.")
@click.option("--wide", is_flag=True, help="Show all figures.")
@click.option("--with-history", is_flag=True, help="Show what providers charged before the first request here, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def usage(
    by: str,
    user: str | None,
    since: str | None,
    until: str | None,
    month: str | None,
    database: Path | None,
    config_path: Path | None,
    top: int | None,
    columns: str | None,
    *,
    wide: bool,
    with_history: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Show requests, tokens and cost. Works while the proxy runs, and when it does not."""
    from proxy.cli.usage_columns import read_columns  # noqa: PLC0415 - keeps --help quick
    from proxy.core.clock import SystemClock  # noqa: PLC0415
    from proxy.storage.reconciliation import days_between  # noqa: PLC0415
    from proxy.storage.spending import UsageSelection  # noqa: PLC0415

    if as_json and as_csv:
        raise click.UsageError("Give --json or --csv.")
    if with_history and as_csv:
        raise click.UsageError("--with-history belongs to a table or --json: lines of CSV are the ledger's own.")
    if columns is not None and (wide or as_json or as_csv):
        raise click.UsageError("--columns are those of a table: leave --wide, --json and --csv out.")
    words = _words(by)
    chosen = None if columns is None else read_columns(columns)
    source = open_source(config_path, database)
    check_users(source, () if user is None else (user,))
    since_ms, until_ms = range_ms(source, since, until, month, SystemClock().now_ms())
    wanted = UsageSelection(words, since_ms, until_ms, user, source.rates)
    sums = _read(source, wanted)
    rest = source.reports.unsettled(since_ms=since_ms, until_ms=until_ms, user=user)
    history = source.reports.provider_history(*days_between(since_ms, until_ms)) if with_history else None
    if as_json:
        document = _document(words, sums, top, rest, source)
        found = {} if history is None else {"history": [_history_entry(one) for one in history]}
        click.echo(json.dumps({**document, **found}, indent=2))
    elif as_csv:
        _print_csv(words, sums, top, source)
    else:
        _print_table(wanted, sums, top, source, chosen, wide=wide)
        if history is not None:
            _print_history(history)
    _say_unsettled(rest)
    if source.currency_code.upper() != "USD" and sums.total.cost_local is None:
        code = source.currency_code
        click.echo(f"Note: what 1 USD cost in {code} is not known for all of this time: see currency.", err=True)


def _history_entry(one: "HistorySum") -> dict[str, object]:
    from proxy.core.money import pusd_to_usd  # noqa: PLC0415 - keeps --help quick

    return {**one._asdict(), "cost_usd": pusd_to_usd(one.cost_pusd)}


def _print_history(history: "list[HistorySum]") -> None:
    """Print what is in no sum of the ledger: the provider's word on the time before its first request."""
    from proxy.cli.table import print_table  # noqa: PLC0415 - keeps --help quick
    from proxy.core.money import pusd_to_usd  # noqa: PLC0415

    if not history:
        click.echo("Note: nothing is known of a time before the first request: see tollkeeper sync.", err=True)
        return
    click.echo("Note: charged before the first request here, by the providers' word, and in no sum above:", err=True)
    click.echo()
    names = ("requests", "input_tokens", "output_tokens")
    rows = [(one.provider, one.model, *one[2:5], pusd_to_usd(one.cost_pusd)) for one in history]
    total = ("total", "", None, None, None, pusd_to_usd(sum(one.cost_pusd for one in history)))
    right = frozenset((*names, "cost_usd"))
    print_table(("provider", "model", *names, "cost_usd"), rows, total=total, right=right)


def _words(by: str) -> tuple[str, ...]:
    from proxy.storage.spending import read_usage_words  # noqa: PLC0415 - keeps --help quick

    try:
        return read_usage_words(by)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--by") from None


def _read(source: Source, wanted: "UsageSelection") -> "SpendingSums":
    """Return the sums; where single rows have to be read, show how far that is."""
    from proxy.cli.progress import Progress  # noqa: PLC0415 - keeps --help quick

    if not wanted.needs_rows:
        return source.reports.usage(wanted, source.zone)
    with Progress("usage") as progress:
        return source.reports.usage(wanted, source.zone, progress.at)


def _money(row: "SpendingRow", source: Source) -> dict[str, str | None]:
    """Return the cost in USD, and in the local currency if that differs, as exact decimal texts."""
    from proxy.core.money import pusd_to_usd  # noqa: PLC0415 - keeps --help quick
    from proxy.policy.exchange_rates import plain_text  # noqa: PLC0415

    found: dict[str, str | None] = {"cost_usd": pusd_to_usd(row.cost_pusd)}
    if source.currency_code.upper() != "USD":
        local = None if row.cost_local is None else plain_text(row.cost_local)
        found[f"cost_{source.currency_code.lower()}"] = local
    return found


def _figures(row: "SpendingRow") -> dict[str, int]:
    return {name: getattr(row, name) for name in _FIGURES}


def _parts(row: "SpendingRow") -> dict[str, int]:
    """Return the parts of input and output, for files: a table has no room for them."""
    return {**{name: getattr(row, name) for name in _PARTS}, **row.counts._asdict()}


def _document(
    words: tuple[str, ...], sums: "SpendingSums", top: int | None, rest: "UnsettledSum", source: Source
) -> dict[str, object]:
    def entry(row: "SpendingRow") -> dict[str, object]:
        return {
            **_figures(row),
            **_parts(row),
            "cost_pusd": row.cost_pusd,
            **_money(row, source),
            **row.ratios(sums.total),
        }

    rows, other = sums.top(top)
    return {
        "by": words,
        "rows": [{**dict(zip(words, row.key, strict=True)), **entry(row)} for row in rows],
        **({} if top is None else {"other": None if other is None else entry(other)}),
        "total": entry(sums.total),
        "open": rest.open,
        "pending": rest.pending,
        "flagged": rest.flagged,
    }


def _print_csv(words: tuple[str, ...], sums: "SpendingSums", top: int | None, source: Source) -> None:
    from proxy.storage.export import csv_lines, safe_cell  # noqa: PLC0415 - keeps --help quick

    total = sums.total
    head = (*words, *_FIGURES, "cost_pusd", *_money(total, source), *_parts(total), *total.ratios(total))
    rows, other = sums.top(top)
    if other is not None:
        rows = [*rows, other.under(("other", *[""] * (len(words) - 1)))]
    lines = [
        (
            *(safe_cell(text) for text in row.key),
            *_figures(row).values(),
            row.cost_pusd,
            *_money(row, source).values(),
            *_parts(row).values(),
            *row.ratios(total).values(),
        )
        for row in rows
    ]
    click.echo(csv_lines([head, *lines]), nl=False, color=True)  # as they are: else names would lose their colours


def _print_table(
    wanted: "UsageSelection",
    sums: "SpendingSums",
    top: int | None,
    source: Source,
    chosen: tuple[str, ...] | None,
    *,
    wide: bool,
) -> None:
    from proxy.cli.usage_table import UsageTable  # noqa: PLC0415 - keeps --help quick

    if not sums.rows:
        click.echo("Nothing was spent in this time.", err=True)
        return
    table = UsageTable(source, wanted, sums, top)
    table.show(chosen, wide=wide)
    if any(word == "tag" for word in wanted.by) and len(sums.rows) > 1:
        click.echo("Note: a request counts under each of its tags, and once in the total.", err=True)


def _say_unsettled(rest: "UnsettledSum") -> None:
    notes = (
        (rest.open, "still running (or left by a crash): not in these sums"),
        (rest.pending, "waiting for the provider's figure: not in these sums"),
        (rest.flagged, "in these sums, but flagged: see column flags of tollkeeper export"),
    )
    for count, text in notes:
        if count:
            click.echo(f"Note: {count} request{'s' if count != 1 else ''} {text}.", err=True)
