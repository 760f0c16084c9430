"""tollkeeper usage: what was spent, by whom and on what."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proxy.cli.ledger_options import Source, check_users, open_source, range_ms, range_options

if TYPE_CHECKING:
    from proxy.storage.reports import SpendingRow, UnsettledSum

_WORDS = ("user", "group", "model", "provider", "use_case", "day")
_FIGURES = ("requests", "errors", "input_tokens", "output_tokens")
_PARTS = ("cached_tokens", "reasoning_tokens")


@click.command()
@click.option("--by", default="user", show_default=True, help=f"Comma-separated list of {', '.join(_WORDS)}.")
@click.option("--user", help="Only this user.")
@range_options
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
    *,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Show requests, tokens and cost. Works while the proxy runs, and when it does not."""
    from proxy.core.clock import SystemClock  # noqa: PLC0415 - keeps --help quick

    if as_json and as_csv:
        raise click.UsageError("Give --json or --csv.")
    words = _words(by)
    source = open_source(config_path, database)
    check_users(source, () if user is None else (user,))
    since_ms, until_ms = range_ms(source, since, until, month, SystemClock().now_ms())
    rows = source.reports.usage_by(
        words, source.zone, since_ms=since_ms, until_ms=until_ms, user=user, rates=source.rates
    )
    rest = source.reports.unsettled(since_ms=since_ms, until_ms=until_ms, user=user)
    if as_json:
        click.echo(json.dumps(_document(words, rows, rest, source), indent=2))
    elif as_csv:
        _print_csv(words, rows, source)
    else:
        _print_table(words, rows, source)
    _say_unsettled(rest)


def _words(by: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in by.split(",") if word.strip())
    unknown = [word for word in words if word not in _WORDS]
    if unknown or not words or len(set(words)) < len(words):
        raise click.BadParameter(f"write some of {', '.join(_WORDS)}, each once.", param_hint="--by")
    return words


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
    words: tuple[str, ...], rows: "list[SpendingRow]", rest: "UnsettledSum", source: Source
) -> dict[str, object]:
    from proxy.storage.reports import SpendingRow  # noqa: PLC0415 - keeps --help quick

    def entry(row: "SpendingRow") -> dict[str, object]:
        return {**_figures(row), **_parts(row), "cost_pusd": row.cost_pusd, **_money(row, source)}

    return {
        "by": words,
        "rows": [{**dict(zip(words, row.key, strict=True)), **entry(row)} for row in rows],
        "total": entry(SpendingRow.total(rows)),
        "open": rest.open,
        "pending": rest.pending,
        "flagged": rest.flagged,
    }


def _print_csv(words: tuple[str, ...], rows: "list[SpendingRow]", source: Source) -> None:
    from proxy.storage.export import csv_lines, safe_cell  # noqa: PLC0415 - keeps --help quick
    from proxy.storage.reports import SpendingRow  # noqa: PLC0415 - keeps --help quick

    head = (*words, *_FIGURES, "cost_pusd", *_money(SpendingRow.total([]), source), *_parts(SpendingRow.total([])))
    lines = [
        (
            *(safe_cell(text) for text in row.key),
            *_figures(row).values(),
            row.cost_pusd,
            *_money(row, source).values(),
            *_parts(row).values(),
        )
        for row in rows
    ]
    click.echo(csv_lines([head, *lines]), nl=False)


def _print_table(words: tuple[str, ...], rows: "list[SpendingRow]", source: Source) -> None:
    from proxy.cli.table import print_table  # noqa: PLC0415 - keeps --help quick
    from proxy.storage.reports import SpendingRow  # noqa: PLC0415 - keeps --help quick

    if not rows:
        click.echo("Nothing was spent in this time.", err=True)
        return
    total = SpendingRow.total(rows)
    money = tuple(_money(total, source))
    print_table(
        (*words, *_FIGURES, *money),
        [(*(text or None for text in row.key), *_figures(row).values(), *_shown(row, source)) for row in rows],
        total=("total", *[""] * (len(words) - 1), *_figures(total).values(), *_shown(total, source)),
        right=frozenset((*_FIGURES, *money)),
    )


def _shown(row: "SpendingRow", source: Source) -> list[str]:
    """Return amounts for reading: six decimals each, so that points align, and more where needed."""
    return ["" if text is None else _padded(text) for text in _money(row, source).values()]


def _padded(text: str) -> str:
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction:0<6}"


def _say_unsettled(rest: "UnsettledSum") -> None:
    notes = (
        (rest.open, "still running (or left by a crash): not in these sums"),
        (rest.pending, "waiting for the provider's figure: not in these sums"),
        (rest.flagged, "in these sums, but flagged: see column flags of tollkeeper export"),
    )
    for count, text in notes:
        if count:
            click.echo(f"Note: {count} request{'s' if count != 1 else ''} {text}.", err=True)
