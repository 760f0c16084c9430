"""The sums of usage as lines of a file, for tollkeeper export --summary: a line for each key, and the total."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from proxy.cli.ledger_options import Source
    from proxy.storage.export import Chunk, Selection
    from proxy.storage.spending import SpendingRow

_FIGURES = ("requests", "errors", "input_tokens", "output_tokens")


def read_summary_words(text: str, users: Sequence[str], models: Sequence[str]) -> tuple[str, ...]:
    """Return the words that are summed by; raises click.BadParameter."""
    from proxy.storage.spending import read_usage_words  # noqa: PLC0415 - keeps --help quick

    try:
        words = read_usage_words(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--summary") from None
    needed = {"user": len(users) > 1, "model": bool(models)}
    for word, is_needed in needed.items():
        if is_needed and word not in words:
            raise click.BadParameter(f"to choose {word}s, sum by {word} too.", param_hint="--summary")
    return words


def summary_chunks(source: "Source", words: tuple[str, ...], selection: "Selection", form: str) -> Iterator["Chunk"]:
    """Yield the sums in the order of their keys, and the total as the last line; form: csv or jsonl."""
    import orjson  # noqa: PLC0415 - keeps --help quick

    from proxy.storage.export import Chunk, csv_lines, safe_cell  # noqa: PLC0415
    from proxy.storage.spending import SpendingRow, UsageSelection  # noqa: PLC0415

    one_user = selection.users[0] if len(selection.users) == 1 else None
    wanted = UsageSelection(words, selection.since_ms, selection.until_ms, one_user, source.rates)
    sums = source.reports.usage(wanted, source.zone)
    rows = sorted((row for row in sums.rows if _is_selected(row, words, selection)), key=lambda row: row.key)
    is_whole = len(rows) == len(sums.rows)
    total = sums.total if is_whole else SpendingRow.total(rows)
    lines = [*rows, total.under(("total", *[""] * (len(words) - 1)))]
    if form == "csv":
        head = (*words, *_amounts(total, source))
        cells = [[*map(safe_cell, row.key), *_amounts(row, source).values()] for row in lines]
        yield Chunk(csv_lines([head, *cells]).encode(), len(rows), 1.0)
        return
    objects = ({**dict(zip(words, row.key, strict=True)), **_amounts(row, source)} for row in lines)
    yield Chunk(b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in objects), len(rows), 1.0)


def _is_selected(row: "SpendingRow", words: Sequence[str], selection: "Selection") -> bool:
    key = dict(zip(words, row.key, strict=True))
    return (len(selection.users) < 2 or key["user"] in selection.users) and (
        not selection.models or any(fnmatchcase(key["model"], glob) for glob in selection.models)
    )


def _amounts(row: "SpendingRow", source: "Source") -> dict[str, int | str | None]:
    """Return the figures of a line: money as an integer of pico-USD, and as exact text in USD and local currency."""
    from proxy.core.money import pusd_to_usd  # noqa: PLC0415 - keeps --help quick
    from proxy.policy.exchange_rates import plain_text  # noqa: PLC0415

    found: dict[str, int | str | None] = {name: getattr(row, name) for name in _FIGURES}
    found |= {"cost_pusd": row.cost_pusd, "cost_usd": pusd_to_usd(row.cost_pusd)}
    if source.currency_code != "USD":
        found[f"cost_{source.currency_code.lower()}"] = None if row.cost_local is None else plain_text(row.cost_local)
    return found
