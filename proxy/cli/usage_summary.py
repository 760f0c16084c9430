"""The sums of usage as lines of a file, for tollkeeper export --summary: a line for each key, and the total."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from proxy.cli.ledger_options import Source
    from proxy.storage.export import Chunk, Selection
    from proxy.storage.spending import SpendingRow, SpendingSums, UsageSelection

_FIGURES = ("requests", "errors", "input_tokens", "output_tokens")


def read_summary_words(text: str) -> tuple[str, ...]:
    """Return the words that are summed by; raises click.BadParameter."""
    from proxy.storage.spending import read_usage_words  # noqa: PLC0415 - keeps --help quick

    try:
        return read_usage_words(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--summary") from None


def summary_chunks(source: "Source", words: tuple[str, ...], selection: "Selection", form: str) -> Iterator["Chunk"]:
    """Yield the sums in the order of their keys, and the total as the last line; form: csv or jsonl."""
    import orjson  # noqa: PLC0415 - keeps --help quick

    from proxy.storage.export import Chunk, csv_lines, safe_cell  # noqa: PLC0415
    from proxy.storage.spending import UsageSelection  # noqa: PLC0415

    one_user = selection.users[0] if len(selection.users) == 1 else None
    wanted = UsageSelection(words, selection.since_ms, selection.until_ms, one_user, source.rates)
    sums = _sums(source, wanted, selection)
    rows = sums.sorted_by("name").rows
    lines = [*rows, sums.total.under(("total", *[""] * (len(words) - 1)))]
    if form == "csv":
        head = (*words, *_amounts(sums.total, source))
        cells = [[*map(safe_cell, row.key), *_amounts(row, source).values()] for row in lines]
        yield Chunk(csv_lines([head, *cells]).encode(), len(rows), 1.0)
        return
    objects = ({**dict(zip(words, row.key, strict=True)), **_literals(_amounts(row, source))} for row in lines)
    yield Chunk(b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in objects), len(rows), 1.0)


def _sums(source: "Source", wanted: "UsageSelection", selection: "Selection") -> "SpendingSums":
    """Read the sums of the users and models of a selection, whatever they are by; rows know what was asked for."""
    from proxy.core.model_patterns import matches  # noqa: PLC0415 - keeps --help quick
    from proxy.storage.usage_part import read_matching_usage  # noqa: PLC0415

    users, models = selection.users, selection.models
    of_users = len(users) > 1
    words = (*(("user",) if of_users else ()), *(("model", "requested_model") if models else ()))
    if not words:
        return source.reports.usage(wanted, source.zone)

    def is_selected(key: Mapping[str, str]) -> bool:
        is_of_user = not of_users or key["user"] in users
        return is_of_user and (not models or matches(models, key["model"], key["requested_model"]))

    return read_matching_usage(source.reports, wanted, words, is_selected, source.zone)


def _literals(amounts: Mapping[str, int | str | None]) -> dict[str, object]:
    """Return figures as JSON has them in exports: numbers with all their digits, of any size."""
    import orjson  # noqa: PLC0415 - keeps --help quick

    return {name: None if amount is None else orjson.Fragment(str(amount)) for name, amount in amounts.items()}


def _amounts(row: "SpendingRow", source: "Source") -> dict[str, int | str | None]:
    """Return the figures of a line: money as an integer of pico-USD, and as exact text in USD and local currency."""
    from proxy.core.money import pusd_to_usd  # noqa: PLC0415 - keeps --help quick
    from proxy.policy.exchange_rates import plain_text  # noqa: PLC0415

    found: dict[str, int | str | None] = {name: getattr(row, name) for name in _FIGURES}
    found |= {"cost_pusd": row.cost_pusd, "cost_usd": pusd_to_usd(row.cost_pusd)}
    if source.currency_code != "USD":
        found[f"cost_{source.currency_code.lower()}"] = None if row.cost_local is None else plain_text(row.cost_local)
    return found
