"""What providers charged on days that are over, by day and model."""

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from proxy.cli.admin_client import AdminClient

_SUMMED = ("spent_pusd", "spent_byok_pusd", "requests", "prompt_tokens", "completion_tokens")


def show_activity(api: "AdminClient", provider: str | None, days: int, *, as_json: bool) -> None:
    """Print what was charged on each of the last days that are over, of one provider or all that tell of it.

    Exit code 1 where one of them could not be asked.
    """
    from proxy.cli.admin_client import resource_path  # noqa: PLC0415 - keeps --help quick

    accounts = list(api.pages("/account")) if provider is None else [api.get(resource_path("account", provider))]
    told = [one["provider"] for one in accounts if "activity" in one["questions"]]
    today = datetime.now(UTC).date()
    rows, problems = list[dict[str, Any]](), list[str]()
    for name in told:
        for back in range(days, 0, -1):
            query = {"date": (today - timedelta(days=back)).isoformat()}
            try:
                found = api.pages(resource_path("account", name, "activity"), query)
                rows += [{"provider": name, **row} for row in found]
            except click.ClickException as error:
                problems.append(f"{name}, {query['date']}: {error.message}")
                break  # of the next day it would say the same
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif rows:
        _print(rows, with_provider=len(told) > 1)
    elif told and not problems:
        click.echo("Nothing was charged on these days.", err=True)
    if not told:
        click.echo("It takes a management key to be told: providers.<name>.management_key.", err=True)
    for problem in problems:
        click.echo(problem, err=True)
    if problems or not told:
        sys.exit(1)


def _print(rows: Iterable[dict[str, Any]], *, with_provider: bool) -> None:
    from proxy.cli.account_figures import amount_text  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.table import print_table  # noqa: PLC0415

    sums: dict[tuple[str, str, str], dict[str, int | None]] = {}
    for row in rows:
        known = sums.setdefault((row["date"], row["provider"], row["model"]), dict.fromkeys(_SUMMED))
        for name in _SUMMED:
            known[name] = None if row[name] is None and known[name] is None else (known[name] or 0) + (row[name] or 0)
    lines = [
        (
            date,
            *([provider] if with_provider else []),
            model,
            amount_text(one["spent_pusd"] or 0),
            amount_text(one["spent_byok_pusd"]) if one["spent_byok_pusd"] else None,
            *(one[name] for name in _SUMMED[2:]),
        )
        for (date, provider, model), one in sorted(sums.items())
    ]
    headers = ("date", *(["provider"] if with_provider else []), "model", "spent", "elsewhere", "calls", "in", "out")
    right = frozenset({"spent", "elsewhere", "calls", "in", "out"})
    print_table(headers, lines, right=right, whole=frozenset({"date"}))
