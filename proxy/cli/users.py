"""tollkeeper users: who may call."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from proxy.cli.settings import config_option, loader

if TYPE_CHECKING:
    from proxy.config.schema import Settings

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def users() -> None:
    """Add, list, change, disable and remove users.

    Users live in the configuration (users:) or in the database (these commands); the configuration wins on a clash. A
    running proxy takes a change at once. What a user has spent stays in the ledger. End users, whom a trusted token or
    a signed JWT names, are in the database from their first request on.
    """


@users.command()
@click.argument("name")
@click.option("--group", help="The group whose limits hold for this user too.")
@click.option("--no-token", is_flag=True, help="Make no token yet.")
@_json_option
@config_option
def add(name: str, group: str | None, *, no_token: bool, as_json: bool, config_path: Path | None) -> None:
    """Add a user and print a first token: the only time that it can be seen."""
    from proxy.cli.admin import operator  # noqa: PLC0415 - keeps --help quick

    settings = loader(config_path, {})().settings
    _warn_about(settings, name, group)
    with operator(settings, f"tollkeeper users add {name}") as do:
        user = do("users.add", {"name": name, "group": group})
        token = None if no_token else do("tokens.add", {"user": name})
    click.echo(f"User {name} was added.", err=True)
    if as_json:
        click.echo(json.dumps({"user": user, "token": token}))
    elif token is not None:
        say_token(name, token)


def say_token(user: str, token: dict[str, Any]) -> None:
    """Print a new token alone on stdout and what to do with it on stderr."""
    click.echo(f"Token {token['id']} of user {user}; it is shown only now and kept nowhere:", err=True)
    click.echo(token["token"])


def _warn_about(settings: "Settings", name: str, group: str | None) -> None:
    if name in settings.users:
        click.echo(f"Note: {name} stands in the configuration too; group, limits and switches there hold.", err=True)
    if group is not None and group not in settings.groups:
        click.echo(f"Note: the configuration has no group {group}, so no limits come with it.", err=True)


@users.command("list")
@_json_option
@config_option
def list_(*, as_json: bool, config_path: Path | None) -> None:
    """List all users and where they come from."""
    from proxy.cli.people import all_users  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.table import print_table  # noqa: PLC0415

    settings = loader(config_path, {})().settings
    found = all_users(settings)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("There is no user yet. Add one: tollkeeper users add NAME", err=True)
        return
    rows = [(user["name"], user["group"], _state(user), user["tokens"], _source(user)) for user in found]
    print_table(("user", "group", "state", "tokens", "source"), rows, right=frozenset({"tokens"}))


def _source(user: dict[str, Any]) -> str:
    return str(user["source"] if user["made_by"] is None else "end user")


def _state(row: dict[str, Any]) -> str:
    return "disabled" if row["disabled"] else "active"


@users.command()
@click.argument("name")
@_json_option
@config_option
def show(name: str, *, as_json: bool, config_path: Path | None) -> None:
    """Show a user with their tokens."""
    from proxy.cli.people import all_tokens, all_users  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.when import shown  # noqa: PLC0415

    settings = loader(config_path, {})().settings
    user = next((user for user in all_users(settings) if user["name"] == name), None)
    if user is None:
        raise click.ClickException(f"There is no user {name!r}. See: tollkeeper users list")
    tokens = all_tokens(settings, name)
    if as_json:
        click.echo(json.dumps({**user, "tokens": tokens}, indent=2))
        return
    zone = ZoneInfo(settings.timezone)
    for title, value in (
        ("user", name),
        ("group", user["group"] or "-"),
        ("state", _state(user)),
        ("source", _source(user)),
        *([("named by", user["made_by"])] if user["made_by"] is not None else []),
        ("created", shown(user["created_ms"], zone) or "-"),
        ("expires", shown(user["expires_ms"], zone) or "never"),
    ):
        click.echo(f"{title:8} {value}")
    for token in tokens:
        click.echo(f"{'token':8} {token['id']}  {token['name']}  {_state(token)}")


@users.command("set")
@click.argument("name")
@click.option("--group", help="Move the user into a group.")
@click.option("--no-group", is_flag=True, help="Take the user out of their group.")
@config_option
def set_(name: str, group: str | None, *, no_group: bool, config_path: Path | None) -> None:
    """Change a user's group."""
    if (group is None) != no_group:
        raise click.UsageError("Give --group NAME or --no-group.")
    settings = loader(config_path, {})().settings
    _change(settings, name, {"group": group})
    _warn_about(settings, name, group)
    click.echo(f"User {name} is now in {f'group {group}' if group else 'no group'}.", err=True)


@users.command()
@click.argument("name")
@config_option
def disable(name: str, config_path: Path | None) -> None:
    """Refuse all requests of a user until they are enabled again."""
    _change(loader(config_path, {})().settings, name, {"disabled": True})
    click.echo(f"User {name} is disabled.", err=True)


@users.command()
@click.argument("name")
@config_option
def enable(name: str, config_path: Path | None) -> None:
    """Let a disabled user in again."""
    _change(loader(config_path, {})().settings, name, {"disabled": False})
    click.echo(f"User {name} is enabled.", err=True)


@users.command()
@click.argument("name")
@config_option
def remove(name: str, config_path: Path | None) -> None:
    """Remove a user and all their tokens. Their requests stay in the ledger."""
    from proxy.cli.admin import operator  # noqa: PLC0415 - keeps --help quick

    settings = loader(config_path, {})().settings
    _check_in_database(settings, name)
    with operator(settings, f"tollkeeper users remove {name}") as do:
        do("users.remove", {"name": name})
    click.echo(f"User {name} was removed from the database.", err=True)
    if name in settings.users:
        click.echo(f"Note: {name} stands in the configuration too, and stays there.", err=True)


def _change(settings: "Settings", name: str, changes: dict[str, Any]) -> None:
    from proxy.cli.admin import operator  # noqa: PLC0415 - keeps --help quick

    if name in settings.users:
        setting = next(iter(changes))
        raise click.ClickException(
            f"User {name!r} stands in the configuration, which wins: change users.{name}.{setting} there."
        )
    with operator(settings, f"tollkeeper users set {name}") as do:
        do("users.set", {"name": name, "changes": changes})


def _check_in_database(settings: "Settings", name: str) -> None:
    from proxy.cli.people import all_users  # noqa: PLC0415 - keeps --help quick

    for user in all_users(settings):
        if user["name"] == name and not user["in_database"]:
            raise click.ClickException(
                f"User {name!r} stands in the configuration, not in the database: take users.{name} out of the file."
            )
