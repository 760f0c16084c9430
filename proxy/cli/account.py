"""tollkeeper account: what is left at providers, by their own word."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from proxy.cli.account_figures import age_text, amount_text, credits_text, resets_text, scope_text
from proxy.cli.reading_settings import reading_settings
from proxy.cli.settings import config_option

_LABEL = 12


@click.command()
@click.argument("provider", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with exact amounts.")
@config_option
def account(provider: str | None, *, as_json: bool, config_path: Path | None) -> None:
    """Show credits, budgets and keys of the accounts at providers.

    The figures are the provider's, and a minute or a few old at most; each says when it was heard. Credits are told to
    a management key alone.
    """
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    settings = reading_settings(config_path)
    with admin_client(settings, "tollkeeper account") as api:
        found = list(api.pages("/account")) if provider is None else [api.get(resource_path("account", provider))]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("No provider of the configuration tells of its account; OpenRouter does.", err=True)
    for number, one in enumerate(found):
        if number:
            click.echo()
        _print(one)


def _print(one: dict[str, Any]) -> None:
    from proxy.cli.table import print_table  # noqa: PLC0415 - keeps --help quick

    for line in _head(one):
        click.echo(line)
    rows = [row for key in one["keys"] for row in _rows(key)]
    if rows:
        click.echo()
        headers = ("key", "budget", "limit", "spent", "left", "resets")
        print_table(headers, rows, right=frozenset({"limit", "spent", "left"}), whole=frozenset({"resets"}))
    for key in one["keys"]:
        if key["problem"] is not None:
            click.echo(f"Key {key['name']}: {key['problem']}", err=True)


def _head(one: dict[str, Any]) -> Iterator[str]:
    yield from _field("Provider", f"{one['provider']}, {one['base_url']}")
    yield from _field("Credits", credits_text(one))
    free = next((key["free_requests"] for key in one["keys"] if key["free_requests"] is not None), None)
    if free is not None:
        yield from _field("Free models", f"{free['left']} of {free['limit']} requests left today (UTC)")
    ages = [key["age_s"] for key in one["keys"] if key["age_s"] is not None]
    if ages:
        yield from _field("Keys", f"as heard {age_text(max(ages))}")


def _field(name: str, text: str) -> Iterator[str]:
    from proxy.cli.table import printable  # noqa: PLC0415 - keeps --help quick

    width = max(shutil.get_terminal_size().columns, 40)
    yield from click.wrap_text(printable(text), width - 1, f"{name:<{_LABEL}}", " " * _LABEL).splitlines()


def _rows(key: dict[str, Any]) -> Iterator[tuple[str, str, str | None, str | None, str | None, str | None]]:
    name = key["name"]
    if key["spent"] is None:
        yield name, "not known", None, None, None, None
    elif not key["budgets"]:
        yield name, "none", None, amount_text(key["spent"]["total_pusd"]), None, None
    for budget in key["budgets"]:
        amounts = (amount_text(budget[f"{part}_pusd"]) for part in ("limit", "spent", "left"))
        yield (name, scope_text(budget), *amounts, resets_text(budget))
