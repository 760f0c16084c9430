"""tollkeeper providers: where requests go, and the switch of each."""

import json
from pathlib import Path
from typing import Any

import click

from proxy.cli.reading_settings import reachable_config
from proxy.cli.settings import config_option


@click.group()
def providers() -> None:
    """List, enable and disable the providers of the configuration. A running proxy applies a change at once."""


@providers.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def list_(*, as_json: bool, config_path: Path | None) -> None:
    """List providers: whether they are enabled, and how many models they list."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.table import print_table  # noqa: PLC0415

    loaded = reachable_config(config_path)
    with admin_client(loaded.settings, "tollkeeper providers list", loaded) as api:
        found = list(api.pages("/providers"))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    rows = [
        (one["name"], one["kind"], "yes" if one["enabled"] else "no", one["source"], one["models"], one["base_url"])
        for one in found
    ]
    headers = ("provider", "kind", "enabled", "decided_by", "models", "base_url")
    print_table(headers, rows, right=frozenset(("models",)))


def _switch(name: str, config_path: Path | None, *, enabled: bool) -> None:
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    loaded = reachable_config(config_path)
    with admin_client(loaded.settings, "tollkeeper providers", loaded) as api:
        entry: dict[str, Any] = api.patch(resource_path("providers", name), {"enabled": enabled})
    state = "enabled" if entry["enabled"] else "disabled: its models are refused by name and left out of presets"
    click.echo(f"Provider {name} is {state}.", err=True)


@providers.command()
@click.argument("name")
@config_option
def enable(name: str, config_path: Path | None) -> None:
    """Let requests go to a provider again."""
    _switch(name, config_path, enabled=True)


@providers.command()
@click.argument("name")
@config_option
def disable(name: str, config_path: Path | None) -> None:
    """Send nothing more to a provider. What runs goes on to its end."""
    _switch(name, config_path, enabled=False)
