"""tollkeeper tokens: what users authenticate with."""

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
    from proxy.cli.control_client import operator  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.user_lists import all_users  # noqa: PLC0415

    settings = loader(config_path, {})().settings
    expires_ms = _expires_ms(settings, expires)
    known = next((found for found in all_users(settings) if found["name"] == user), None)
    with operator(settings, f"tollkeeper tokens add {user}") as do:
        if known is not None and not known["in_database"]:  # tokens of the database belong to a row of the database
            do("users.add", {"name": user})
        token = do("tokens.add", {"user": user, "name": name, "expires_ms": expires_ms, "trusted": trusted})
    _print_new(token, as_json=as_json)


def _expires_ms(settings: "Settings", expires: str | None) -> int | None:
    from proxy.cli.moments import moment_ms  # noqa: PLC0415 - keeps --help quick
    from proxy.core.clock import SystemClock  # noqa: PLC0415

    if expires is None:
        return None
    now_ms = SystemClock().now_ms()
    found_ms = moment_ms(expires, ZoneInfo(settings.timezone), now_ms, option="--expires", ahead=True)
    if found_ms <= now_ms:
        raise click.BadParameter(f"{expires!r} has passed already.", param_hint="--expires")
    return found_ms


def _print_new(token: dict[str, Any], *, as_json: bool) -> None:
    from proxy.cli.users import say_token  # noqa: PLC0415 - keeps --help quick

    if as_json:
        click.echo(json.dumps(token))
    else:
        say_token(token["user"], token)


@tokens.command("list")
@click.argument("user", required=False)
@_json_option
@config_option
def list_(user: str | None, *, as_json: bool, config_path: Path | None) -> None:
    """List tokens, of all users or of one, without the tokens themselves."""
    from proxy.cli.moments import shown  # noqa: PLC0415
    from proxy.cli.table import print_table  # noqa: PLC0415
    from proxy.cli.user_lists import all_tokens  # noqa: PLC0415 - keeps --help quick
    from proxy.core.clock import SystemClock  # noqa: PLC0415

    settings = loader(config_path, {})().settings
    found = all_tokens(settings, user)
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
    from proxy.cli.moments import span_ms  # noqa: PLC0415 - keeps --help quick

    overlap_ms = span_ms(overlap)
    if overlap_ms is None:
        raise click.BadParameter(f"{overlap!r} is not a duration. Write 24h or 7d.", param_hint="--overlap")
    token = _do(config_path, "tokens.rotate", {"id": id_, "overlap_ms": overlap_ms})
    click.echo(
        f"The old token {id_} {f'stays valid for another {overlap}' if overlap_ms else 'is no longer valid'}.", err=True
    )
    _print_new(token, as_json=as_json)


@tokens.command()
@click.argument("id_", metavar="ID")
@config_option
def disable(id_: str, config_path: Path | None) -> None:
    """Refuse a token until it is enabled again."""
    _do(config_path, "tokens.set", {"id": id_, "changes": {"disabled": True}})
    click.echo(f"Token {id_} is disabled.", err=True)


@tokens.command()
@click.argument("id_", metavar="ID")
@config_option
def enable(id_: str, config_path: Path | None) -> None:
    """Re-enable a token."""
    _do(config_path, "tokens.set", {"id": id_, "changes": {"disabled": False}})
    click.echo(f"Token {id_} is enabled.", err=True)


@tokens.command()
@click.argument("id_", metavar="ID")
@config_option
def trust(id_: str, config_path: Path | None) -> None:
    """Let this token name end users in a header. Each end user has their own limits."""
    _do(config_path, "tokens.set", {"id": id_, "changes": {"trusted": True}})
    click.echo(f"Token {id_} is trusted: it may name end users.", err=True)


@tokens.command()
@click.argument("id_", metavar="ID")
@config_option
def distrust(id_: str, config_path: Path | None) -> None:
    """Ignore whom a token names by header."""
    _do(config_path, "tokens.set", {"id": id_, "changes": {"trusted": False}})
    click.echo(f"Token {id_} is no longer trusted.", err=True)


@tokens.command()
@click.argument("id_", metavar="ID")
@config_option
def remove(id_: str, config_path: Path | None) -> None:
    """Remove a token for good."""
    _do(config_path, "tokens.remove", {"id": id_})
    click.echo(f"Token {id_} was removed.", err=True)


def _do(config_path: Path | None, name: str, fields: dict[str, Any]) -> dict[str, Any]:
    from proxy.cli.control_client import operator  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.user_lists import config_tokens  # noqa: PLC0415

    settings = loader(config_path, {})().settings
    for token in config_tokens(settings):
        if token["id"] == fields["id"]:
            raise click.ClickException(
                f"Token {fields['id']!r} is defined in the configuration: change users.{token['user']} there."
            )
    with operator(settings, f"tollkeeper {name.replace('.', ' ')}") as do:
        result: dict[str, Any] = do(name, fields)
    return result
