"""What a provider's keys may do, in a few lines: the short form of tollkeeper doctor, after a key was set."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from proxy.cli.admin_client import AdminClient

_KEYLESS = "-"


def say_key_report(api: "AdminClient", provider: str, key: str | None = None) -> None:
    """Say on stderr what the provider says of its keys, or of one: accepted, limits, credits, and what they can't do.

    Nothing of it costs, and nothing of it fails: where the provider cannot be asked, a sentence says so.
    """
    try:
        tries = api.post("/doctor", {"provider": provider})["tries"]
    except click.ClickException as error:
        click.echo(f"{provider} was not asked what the key may do: {error.message}", err=True)
        return
    mine = [one for one in tries if key is None or one["key"] in (key, "management", _KEYLESS)]
    asked = [one for one in mine if one["is_good"] is not None]
    if asked and all(one["status"] is None for one in asked):
        _say(f"{asked[0]['said']} What the key may do, it says then: tollkeeper doctor {provider}")
        return
    for line in _lines(mine, _account(api, provider), key):
        _say(f"{provider}: {line}")


def _account(api: "AdminClient", provider: str) -> dict[str, Any]:
    """Return what the provider tells of its account; nothing where it tells nothing."""
    from proxy.cli.admin_client import resource_path  # noqa: PLC0415 - keeps --help quick

    try:
        found: dict[str, Any] = api.get(resource_path("account", provider))
    except click.ClickException:  # most providers have none: 404
        return {"keys": [], "credits": None}
    return found


def _lines(tries: list[dict[str, Any]], account: dict[str, Any], key: str | None) -> Iterator[str]:
    from proxy.cli.account_figures import budget_text, credits_text  # noqa: PLC0415 - keeps --help quick

    failed = [one for one in tries if one["is_good"] is False]
    budgets = {one["name"]: one for one in account["keys"] if one["spent"] is not None}
    for name in dict.fromkeys(one["key"] for one in tries if one["is_good"]):
        is_refused = any(one["key"] == name and one["status"] == 401 for one in failed)  # lists are for everybody
        if is_refused or key not in (None, name):
            continue
        layers = budgets[name]["budgets"] if name in budgets else []
        limits = [budget_text(layer) for layer in layers]
        if name in budgets and not limits:
            limits = ["no limit of its own"]
        yield "; ".join((f"it accepts the key {name}", *limits))
    if account["credits"] is not None:
        yield f"credits: {credits_text(account)}"
    for one in tries:
        if one["said"] and one["is_good"] is not True:
            yield one["said"] if one["request"] == "-" else f"{one['request']} with {one['key']}: {one['said']}"


def _say(text: str) -> None:
    from proxy.cli.table import printable  # noqa: PLC0415 - keeps --help quick

    width = max(shutil.get_terminal_size().columns, 40)
    click.echo(click.wrap_text(printable(text), width - 1, "", "  "), err=True)
