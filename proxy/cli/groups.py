"""tollkeeper groups: users who share limits."""

import json
import sys
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from proxy.cli.reading_settings import reachable_config
from proxy.cli.settings import config_option, loader
from proxy.cli.settings_options import GROUP_OPTIONS, names_of, settings_options

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def groups() -> None:
    """Add, list, change and remove groups.

    A group's limits hold for its members together. Groups live in the configuration (groups:) or in the database
    (these commands); the configuration takes precedence. A running proxy applies a change at once.
    """


@groups.command()
@click.argument("name")
@settings_options(GROUP_OPTIONS, removable=False)
@_json_option
@config_option
def add(name: str, settings: dict[str, Any], *, as_json: bool, config_path: Path | None) -> None:
    """Add a group. Put users into it with: tollkeeper users set NAME --group GROUP."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    loaded = loader(config_path, {})()
    with admin_client(loaded.settings, f"tollkeeper groups add {name}", loaded) as api:
        made = api.post("/groups", {"name": name, "settings": settings})
    click.echo(f"Group {name} was added.", err=True)
    if as_json:
        click.echo(json.dumps(made))


@groups.command("list")
@_json_option
@config_option
def list_(*, as_json: bool, config_path: Path | None) -> None:
    """List all groups: members, the limit of which least is left, and where they come from."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.limit_table import tightest_cells  # noqa: PLC0415
    from proxy.cli.table import print_table  # noqa: PLC0415

    loaded = reachable_config(config_path)
    with admin_client(loaded.settings, "tollkeeper groups list", loaded) as api:
        found = list(api.pages("/groups"))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("There is no group yet. Add one: tollkeeper groups add NAME", err=True)
        return
    zone, rows = ZoneInfo(loaded.settings.timezone), []
    for group in found:
        figures = tightest_cells(group["limits"], zone)
        rows.append((group["name"], group["settings"].get("parent"), len(group["members"]), *figures, group["source"]))
    print_table(
        ("group", "parent", "members", "limit", "used", "left", "resets", "source"),
        rows,
        right=frozenset({"members", "used", "left"}),
        whole=frozenset({"resets", "source"}),
    )


@groups.command()
@click.argument("name")
@_json_option
@config_option
def show(name: str, *, as_json: bool, config_path: Path | None) -> None:
    """Show a group with its members, its limits and what is left of them."""
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.limit_table import print_limits  # noqa: PLC0415
    from proxy.cli.users import setting_text  # noqa: PLC0415

    loaded = reachable_config(config_path)
    with admin_client(loaded.settings, f"tollkeeper groups show {name}", loaded) as api:
        group = api.get(resource_path("groups", name))
    if as_json:
        click.echo(json.dumps(group, indent=2))
        return
    for title, value in (
        ("group", name),
        ("source", group["source"]),
        ("members", ", ".join(group["members"]) or "-"),
        *([("groups below", ", ".join(group["children"]))] if group["children"] else []),
        *((title, setting_text(value)) for title, value in group["settings"].items() if title != "limits"),
    ):
        click.echo(f"{title:8} {value}")
    if group["limits"]:
        click.echo()
        print_limits(group["limits"], ZoneInfo(loaded.settings.timezone))


@groups.command("set")
@click.argument("name")
@settings_options(GROUP_OPTIONS, removable=True)
@config_option
def set_(name: str, settings: dict[str, Any], *, config_path: Path | None) -> None:
    """Change a group; the limits that are given replace those that it has in the database.

    For a group of the configuration too: what the file decides is refused, with the line to change.
    """
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    if not settings:
        raise click.UsageError(f"Give some of {names_of(GROUP_OPTIONS)}.")
    loaded = loader(config_path, {})()
    with admin_client(loaded.settings, f"tollkeeper groups set {name}", loaded) as api:
        api.patch(resource_path("groups", name), {"settings": settings})
    click.echo(f"Group {name} was changed.", err=True)


@groups.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Ask nothing, and remove it from whoever is in it.")
@config_option
def remove(name: str, *, yes: bool, config_path: Path | None) -> None:
    """Remove a group; its members are in none then, and what they have spent stays.

    A group that has members, or groups below it, is removed only after a question that names them, or with --yes.
    """
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    loaded = loader(config_path, {})()
    with admin_client(loaded.settings, f"tollkeeper groups remove {name}", loaded) as api:
        group = api.get(resource_path("groups", name))
        whom = [*group["members"], *(f"group {child}" for child in group["children"])]
        if not yes and sys.stdin.isatty():
            held = f" Its limits no longer hold {', '.join(whom)}." if whom else ""
            click.confirm(f"Remove group {name}?{held}", abort=True, err=True)
            yes = True
        api.delete(resource_path("groups", name), {"force": yes})
    click.echo(f"Group {name} was removed from the database.", err=True)
    if name in loaded.settings.groups:
        click.echo(f"Note: {name} is in the configuration too, and stays there.", err=True)
    elif whom:
        click.echo(f"Its limits no longer hold {', '.join(whom)}.", err=True)
