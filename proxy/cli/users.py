"""tollkeeper users: who may call."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from proxy.cli.limit_option import limit_option, read_limits
from proxy.cli.settings import config_option, loader

if TYPE_CHECKING:
    from proxy.config.schema import Settings

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def users() -> None:
    """Add, list, change, disable and remove users.

    Users live in the configuration (users:) or in the database (these commands); the configuration takes precedence. A
    running proxy applies a change at once. What a user has spent stays in the ledger. End users, whom a trusted token
    or a signed JWT names, are in the database from their first request on.
    """


@users.command()
@click.argument("name")
@click.option("--group", help="The group whose limits apply to this user too.")
@limit_option
@click.option("--no-token", is_flag=True, help="Create no token yet.")
@_json_option
@config_option
def add(
    name: str,
    group: str | None,
    limits: tuple[str, ...],
    *,
    no_token: bool,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Add a user and print a first token: the only time that it can be seen."""
    from proxy.cli.control_client import operator  # noqa: PLC0415 - keeps --help quick

    own = {"limits": read_limits(limits)} if limits else None
    settings = loader(config_path, {})().settings
    if limits and name in settings.users:
        raise click.ClickException(
            f"{name} is defined in the configuration, which takes precedence. Set users.{name}.limits there."
        )
    _warn_about(settings, name, group)
    with operator(settings, f"tollkeeper users add {name}") as do:
        user = do("users.add", {"name": name, "group": group, **({} if own is None else {"settings": own})})
        token = None if no_token else do("tokens.add", {"user": name})
    click.echo(f"User {name} was added.", err=True)
    if as_json:
        click.echo(json.dumps({"user": user, "token": token}))
    elif token is not None:
        say_token(name, token)


def say_token(user: str, token: dict[str, Any]) -> None:
    """Print a new token alone on stdout and what to do with it on stderr."""
    click.echo(
        f"Token {token['id']} of user {user}; copy it now: it is not stored and cannot be shown again:", err=True
    )
    click.echo(token["token"])


def _warn_about(settings: "Settings", name: str, group: str | None) -> None:
    if name in settings.users:
        click.echo(f"Note: {name} is in the configuration too; group, limits and switches there apply.", err=True)
    if group is not None and group not in settings.groups:
        click.echo(f"Note: the configuration has no group {group}, so no limits come with it.", err=True)


@users.command("list")
@_json_option
@config_option
def list_(*, as_json: bool, config_path: Path | None) -> None:
    """List all users and where they come from."""
    from proxy.cli.table import print_table  # noqa: PLC0415
    from proxy.cli.user_lists import all_users  # noqa: PLC0415 - keeps --help quick

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
    from proxy.cli.moments import shown  # noqa: PLC0415
    from proxy.cli.user_lists import all_tokens, all_users  # noqa: PLC0415 - keeps --help quick

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
        ("limits", _limits_text(user["settings"].get("limits", {}))),
    ):
        click.echo(f"{title:8} {value}")
    for token in tokens:
        click.echo(f"{'token':8} {token['id']}  {token['name']}  {_state(token)}")


def _limits_text(limits: dict[str, Any]) -> str:
    """Return a user's own limits in a line."""
    texts = [
        str(limit) if kind == "cost" else f"{kind}={limit}"
        for kind, found in limits.items()
        for limit in (found if isinstance(found, list) else [found])
    ]
    return ", ".join(texts) or "the general ones (defaults.limits, groups, limits)"


@users.command("set")
@click.argument("name")
@click.option("--group", help="Move the user into a group.")
@click.option("--no-group", is_flag=True, help="Remove the user from their group.")
@limit_option
@click.option("--no-limits", is_flag=True, help="Remove the user's own limits; the general ones apply.")
@config_option
def set_(
    name: str,
    group: str | None,
    limits: tuple[str, ...],
    *,
    no_group: bool,
    no_limits: bool,
    config_path: Path | None,
) -> None:
    """Change a user's group or limits; the limits that are given replace those that the user has."""
    if (group is not None and no_group) or (limits and no_limits):
        raise click.UsageError("Give --group NAME or --no-group, and --limit or --no-limits.")
    if group is None and not no_group and not limits and not no_limits:
        raise click.UsageError("Give --group NAME or --no-group, --limit or --no-limits.")
    own = read_limits(limits)
    settings = loader(config_path, {})().settings
    changes: dict[str, Any] = {"group": group} if group is not None or no_group else {}
    if limits or no_limits:
        changes["settings"] = {**_stored_settings(settings, name), "limits": own}
    _change(settings, name, changes)
    if "group" in changes:
        _warn_about(settings, name, group)
        click.echo(f"User {name} is now in {f'group {group}' if group else 'no group'}.", err=True)
    if "settings" in changes:
        click.echo(f"Limits of {name}: {_limits_text(own)}.", err=True)


def _stored_settings(settings: "Settings", name: str) -> dict[str, Any]:
    from proxy.cli.user_lists import all_users  # noqa: PLC0415 - keeps --help quick

    found = next((user for user in all_users(settings) if user["name"] == name), None)
    return {} if found is None or name in settings.users else dict(found["settings"])


@users.command()
@click.argument("name")
@config_option
def disable(name: str, config_path: Path | None) -> None:
    """Refuse all requests of a user until they are enabled again, also of one in the configuration."""
    from proxy.cli.control_client import operator  # noqa: PLC0415 - keeps --help quick

    settings = loader(config_path, {})().settings
    with operator(settings, f"tollkeeper users disable {name}") as do:
        if name in settings.users:
            do("users.stop", {"name": name})
        else:
            do("users.set", {"name": name, "changes": {"disabled": True}})
    click.echo(f"User {name} is disabled.", err=True)


@users.command()
@click.argument("name")
@config_option
def enable(name: str, config_path: Path | None) -> None:
    """Let a disabled user in again."""
    from proxy.cli.control_client import operator  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.user_lists import all_users  # noqa: PLC0415

    settings = loader(config_path, {})().settings
    own = settings.users.get(name)
    if own is not None and own.disabled:
        raise click.ClickException(f"{name} is disabled in the configuration. Remove users.{name}.disabled there.")
    is_stored = any(user["name"] == name and user["in_database"] for user in all_users(settings))
    if own is None or is_stored:
        with operator(settings, f"tollkeeper users enable {name}") as do:
            do("users.set", {"name": name, "changes": {"disabled": False}})
    click.echo(f"User {name} is enabled.", err=True)


@users.command()
@click.argument("name")
@config_option
def remove(name: str, config_path: Path | None) -> None:
    """Remove a user and all their tokens. Their requests stay in the ledger."""
    from proxy.cli.control_client import operator  # noqa: PLC0415 - keeps --help quick

    settings = loader(config_path, {})().settings
    _check_in_database(settings, name)
    with operator(settings, f"tollkeeper users remove {name}") as do:
        do("users.remove", {"name": name})
    click.echo(f"User {name} was removed from the database.", err=True)
    if name in settings.users:
        click.echo(f"Note: {name} is in the configuration too, and stays there.", err=True)


def _change(settings: "Settings", name: str, changes: dict[str, Any]) -> None:
    from proxy.cli.control_client import operator  # noqa: PLC0415 - keeps --help quick

    if name in settings.users:
        setting = "group" if "group" in changes else "limits"
        raise click.ClickException(
            f"{name} is defined in the configuration, which takes precedence. Set users.{name}.{setting} there."
        )
    with operator(settings, f"tollkeeper users set {name}") as do:
        do("users.set", {"name": name, "changes": changes})


def _check_in_database(settings: "Settings", name: str) -> None:
    from proxy.cli.user_lists import all_users  # noqa: PLC0415 - keeps --help quick

    for user in all_users(settings):
        if user["name"] == name and not user["in_database"]:
            raise click.ClickException(
                f"User {name!r} is defined in the configuration, not in the database: remove users.{name} there."
            )
