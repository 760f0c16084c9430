"""tollkeeper tokens: what users authenticate with."""

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from proxy.cli.reading_settings import reachable_config
from proxy.cli.settings import config_option, loader

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def tokens() -> None:
    """Make, list, rotate, disable and remove users' tokens.

    A token is printed once and never stored; the ledger holds its SHA-256. A running proxy applies a change at once.
    """


@tokens.command()
@click.argument("user")
@click.option("--name", help="Name in lists, such as laptop.")
@click.option("--expires", help="When the token expires: 30d, 12h, 2027-01-31, 2027-01-31T08:00.")
@click.option("--trusted", is_flag=True, help="It may name end users in a header.")
@_json_option
@config_option
def add(
    user: str, name: str | None, expires: str | None, *, trusted: bool, as_json: bool, config_path: Path | None
) -> None:
    """Make a further token for a user and print it: the only time that it can be seen."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.users import moment_ahead  # noqa: PLC0415

    loaded = loader(config_path, {})()
    expires_at = None if expires is None else moment_ahead(expires, ZoneInfo(loaded.settings.timezone))
    with admin_client(loaded.settings, f"tollkeeper tokens add {user}", loaded) as api:
        token = api.post("/tokens", {"user": user, "name": name, "expires_at": expires_at, "trusted": trusted})
    _print_new(token, as_json=as_json)


def _print_new(token: dict[str, Any], *, as_json: bool) -> None:
    from proxy.cli.users import older_names, say_token  # noqa: PLC0415 - keeps --help quick

    if as_json:
        click.echo(json.dumps(older_names(token)))
    else:
        say_token(token["user"], token)


@tokens.command("list")
@click.argument("user", required=False)
@_json_option
@config_option
def list_(user: str | None, *, as_json: bool, config_path: Path | None) -> None:
    """List tokens, of all users or of one, without the tokens themselves."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.moments import shown  # noqa: PLC0415
    from proxy.cli.table import print_table  # noqa: PLC0415
    from proxy.cli.users import older_names  # noqa: PLC0415
    from proxy.core.clock import SystemClock  # noqa: PLC0415

    loaded = reachable_config(config_path)
    settings = loaded.settings
    with admin_client(settings, "tollkeeper tokens list", loaded) as api:
        found = [older_names(token) for token in api.pages("/tokens", {"user": user})]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("There is no token yet. Make one: tollkeeper tokens add USER", err=True)
        return
    zone, now_ms = ZoneInfo(settings.timezone), SystemClock().now_ms()
    rows = [
        (
            token["id"],
            token["user"],
            token["name"],
            f"...{token['hint']}" if token["hint"] else None,
            _state(token, now_ms),
            "yes" if token["trusted"] else "no",
            shown(token["created_ms"], zone),
            shown(token["expires_ms"], zone) or "never",
            token["source"],
        )
        for token in found
    ]
    names = ("id", "user", "name", "ends in", "state", "trusted", "created", "expires", "source")
    print_table(names, rows, whole=frozenset(("id", "ends in", "state", "trusted", "source")))


def _state(token: dict[str, Any], now_ms: int) -> str:
    if token["disabled"]:
        return "disabled"
    return "expired" if token["expires_ms"] is not None and token["expires_ms"] <= now_ms else "active"


@tokens.command()
@click.argument("id_", metavar="ID")
@click.option("--overlap", help="How long the old one stays valid: 24h, 7d.", default="0s", show_default="not at all")
@_json_option
@config_option
def rotate(id_: str, overlap: str, *, as_json: bool, config_path: Path | None) -> None:
    """Replace a token: print a new one with the same name."""
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick
    from proxy.policy.period import span_ms  # noqa: PLC0415

    overlap_ms = span_ms(overlap)
    if overlap_ms is None:
        raise click.BadParameter(f"{overlap!r} is not a duration. Write 24h or 7d.", param_hint="--overlap")
    loaded = loader(config_path, {})()
    with admin_client(loaded.settings, f"tollkeeper tokens rotate {id_}", loaded) as api:
        token = api.post(resource_path("tokens", id_, "rotate"), {"overlap_s": overlap_ms // 1000})
    click.echo(
        f"The old token {id_} {f'stays valid for another {overlap}' if overlap_ms else 'is no longer valid'}.", err=True
    )
    _print_new(token, as_json=as_json)


@tokens.command()
@click.argument("id_", metavar="ID")
@config_option
def disable(id_: str, config_path: Path | None) -> None:
    """Refuse a token until it is enabled again."""
    _change(config_path, id_, {"disabled": True})
    click.echo(f"Token {id_} is disabled.", err=True)


@tokens.command()
@click.argument("id_", metavar="ID")
@config_option
def enable(id_: str, config_path: Path | None) -> None:
    """Re-enable a token."""
    _change(config_path, id_, {"disabled": False})
    click.echo(f"Token {id_} is enabled.", err=True)


@tokens.command("set")
@click.argument("id_", metavar="ID")
@click.option("--expires", help="When the token expires: 30d, 12h, 2027-01-31, 2027-01-31T08:00.")
@click.option("--no-expiry", is_flag=True, help="It does not expire by itself.")
@config_option
def set_(id_: str, expires: str | None, *, no_expiry: bool, config_path: Path | None) -> None:
    """Change when a token expires."""
    from proxy.cli.users import moment_ahead  # noqa: PLC0415 - keeps --help quick

    if (expires is None) is not no_expiry:
        raise click.UsageError("Give --expires WHEN or --no-expiry.")
    zone = ZoneInfo(loader(config_path, {})().settings.timezone)
    _change(config_path, id_, {"expires_at": None if expires is None else moment_ahead(expires, zone)})
    click.echo(f"Token {id_} {'does not expire' if expires is None else f'expires: {expires}'}.", err=True)


@tokens.command()
@click.argument("id_", metavar="ID")
@config_option
def trust(id_: str, config_path: Path | None) -> None:
    """Let this token name end users in a header. Each end user has their own limits."""
    _change(config_path, id_, {"trusted": True})
    click.echo(f"Token {id_} is trusted: it may name end users.", err=True)


@tokens.command()
@click.argument("id_", metavar="ID")
@config_option
def distrust(id_: str, config_path: Path | None) -> None:
    """Ignore whom a token names by header."""
    _change(config_path, id_, {"trusted": False})
    click.echo(f"Token {id_} is no longer trusted.", err=True)


@tokens.command()
@click.argument("id_", metavar="ID")
@config_option
def remove(id_: str, config_path: Path | None) -> None:
    """Remove a token for good."""
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    loaded = loader(config_path, {})()
    with admin_client(loaded.settings, f"tollkeeper tokens remove {id_}", loaded) as api:
        api.delete(resource_path("tokens", id_))
    click.echo(f"Token {id_} was removed.", err=True)


def _change(config_path: Path | None, id_: str, changes: dict[str, Any]) -> None:
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    loaded = reachable_config(config_path)
    with admin_client(loaded.settings, f"tollkeeper tokens set {id_}", loaded) as api:
        api.patch(resource_path("tokens", id_), changes)
