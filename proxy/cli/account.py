"""tollkeeper account: what is left at providers, by their own word."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proxy.cli.account_figures import age_text, amount_text, counted_text, credits_text, resets_text, scope_text
from proxy.cli.reading_settings import reading_settings
from proxy.cli.settings import config_option

if TYPE_CHECKING:
    from proxy.cli.admin_client import AdminClient

_LABEL = 12
_LIMITS = frozenset({"limit", "limit_remaining", "budgets"})  # where one of them makes no sense there may be a limit


@click.command()
@click.argument("provider", required=False)
@click.option("--activity", is_flag=True, help="What was charged on days that are over, by day and model, instead.")
@click.option("--days", type=click.IntRange(1, 30), default=7, show_default=True, help="So many, with --activity.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with exact amounts.")
@config_option
def account(provider: str | None, days: int, *, activity: bool, as_json: bool, config_path: Path | None) -> None:
    """Show credits, budgets and keys of the accounts at providers.

    The figures are the provider's, and a minute or a few old at most; each says when it was heard. Credits, all keys of
    the account and its activity are told to a management key alone.
    """
    from proxy.cli.account_activity import show_activity  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.admin_client import PROVIDER_ANSWER_S, admin_client, resource_path  # noqa: PLC0415

    settings = reading_settings(config_path)
    with admin_client(settings, "tollkeeper account", answer_s=PROVIDER_ANSWER_S) as api:
        if activity:
            show_activity(api, provider, days, as_json=as_json)
            return
        found = list(api.pages("/account")) if provider is None else [api.get(resource_path("account", provider))]
        for one in found:
            one["account_keys"] = _account_keys(api, one)
            query = {"provider": one["provider"], "window": "day"}
            one["counted"] = list(api.pages("/reconciliations/keys", query))
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
    if one["counted"]:
        click.echo()
    for counted in one["counted"]:
        for line in _field("Ledger", f"{counted['key']}: {counted_text(counted)}"):
            click.echo(line)
    for key in one["keys"]:
        if key["problem"] is not None:
            click.echo(f"Key {key['name']}: {key['problem']}", err=True)
    if one["account_keys"]:
        click.echo("\nAll keys of the account")
        heads = ("name", "hash", "used here", "limit", "spent", "month", "state")
        listed = [_account_key(key) for key in one["account_keys"]]
        print_table(heads, listed, right=frozenset({"limit", "spent", "month"}), whole=frozenset({"hash"}))


def _account_keys(api: "AdminClient", one: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the keys that the account itself lists; None where it was not told."""
    from proxy.cli.admin_client import resource_path  # noqa: PLC0415 - keeps --help quick

    if "keys" not in one["questions"]:
        return None
    try:
        return list(api.pages(resource_path("account", one["provider"], "keys")))
    except click.ClickException as error:
        click.echo(f"Keys of the account: {error.message}", err=True)
        return None


def _account_key(key: dict[str, Any]) -> tuple[str | None, ...]:
    spent = key["spent"]
    limit = None if key["limit_pusd"] is None else amount_text(key["limit_pusd"])
    if "limit" in key["unread"]:
        limit = "not known"
    return (
        key["name"] or key["label"],
        f"{key['hash'][:8]}…",
        key["used_here"],
        f"{limit} {key['resets']}" if key["limit_pusd"] is not None and key["resets"] else limit,
        amount_text(spent["total_pusd"]),
        None if spent["month_pusd"] is None else amount_text(spent["month_pusd"]),
        "disabled" if key["is_disabled"] else "in use",
    )


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
        yield (
            name,
            "not known" if _LIMITS & {*key["unread"]} else "none",
            None,
            amount_text(key["spent"]["total_pusd"]),
            None,
            None,
        )
    for budget in key["budgets"]:
        amounts = (amount_text(budget[f"{part}_pusd"]) for part in ("limit", "spent", "left"))
        yield (name, scope_text(budget), *amounts, resets_text(budget))
