"""tollkeeper operators: who may use the operator's API by a token of their own."""

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from proxy.cli.reading_settings import reading_settings
from proxy.cli.settings import config_option, loader

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_ROLES = click.Choice(["viewer", "admin"])
_EXPIRES = "When the access ends: 30d, 12h, 2027-01-31, 2027-01-31T08:00."


@click.group()
def operators() -> None:
    """Add, list, change and remove who may use the operator's API.

    An operator calls /admin/v1 with a token of their own; a viewer reads only. These commands need none: they use the
    proxy's socket, which answers the system user that runs it. What is changed is in force at once.
    """


@operators.command()
@click.argument("name")
@click.option("--role", type=_ROLES, default="viewer", show_default=True, help="A viewer reads, an admin changes.")
@click.option("--expires", help=_EXPIRES)
@_json_option
@config_option
def add(name: str, role: str, expires: str | None, *, as_json: bool, config_path: Path | None) -> None:
    """Add an operator and print their token: the only time that it can be seen."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    settings = loader(config_path, {})().settings
    fields = {"name": name, "role": role, "expires_at": _moment(ZoneInfo(settings.timezone), expires)}
    with admin_client(settings, f"tollkeeper operators add {name}") as api:
        made = api.post("/operators", fields)
    click.echo(f"Operator {name} was added, as {role}.", err=True)
    _print_token(made, as_json=as_json)


def _moment(zone: ZoneInfo, text: str | None) -> str | None:
    """Return a moment ahead as the API takes it."""
    from proxy.cli.moments import moment_ms  # noqa: PLC0415 - keeps --help quick
    from proxy.core.clock import SystemClock  # noqa: PLC0415
    from proxy.web.admin.moment import moment_text  # noqa: PLC0415

    if text is None:
        return None
    return moment_text(moment_ms(text, zone, SystemClock().now_ms(), option="--expires", ahead=True))


def _print_token(operator: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(operator))
        return
    click.echo("Their token; copy it now: it is not stored and cannot be shown again:", err=True)
    click.echo(operator["token"])


@operators.command("list")
@_json_option
@config_option
def list_(*, as_json: bool, config_path: Path | None) -> None:
    """List operators, without their tokens."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.moments import shown  # noqa: PLC0415
    from proxy.cli.table import print_table  # noqa: PLC0415
    from proxy.core.clock import SystemClock  # noqa: PLC0415

    settings = reading_settings(config_path)
    with admin_client(settings, "tollkeeper operators list") as api:
        found = list(api.pages("/operators"))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("There is no operator with a token yet. Add one: tollkeeper operators add NAME", err=True)
        return
    zone, now_ms = ZoneInfo(settings.timezone), SystemClock().now_ms()
    rows = []
    for row in found:
        expires_ms = _ms(row["expires_at"])
        is_over = expires_ms is not None and expires_ms <= now_ms
        state = "disabled" if row["disabled"] else "expired" if is_over else "active"
        times = (shown(_ms(row["created_at"]), zone), shown(expires_ms, zone) or "never")
        rows.append((row["name"], row["role"], state, f"...{row['hint']}", *times))
    print_table(
        ("name", "role", "state", "ends in", "created", "expires"), rows, whole=frozenset(("role", "state", "ends in"))
    )


def _ms(text: str | None) -> int | None:
    from datetime import datetime  # noqa: PLC0415 - keeps --help quick

    return None if text is None else int(datetime.fromisoformat(text).timestamp() * 1000)


@operators.command("set")
@click.argument("name")
@click.option("--role", type=_ROLES, help="A viewer reads, an admin changes.")
@click.option("--expires", help=_EXPIRES)
@click.option("--no-expiry", is_flag=True, help="The access does not end by itself.")
@click.option("--disable", is_flag=True, help="Refuse the token until the operator is enabled again.")
@click.option("--enable", is_flag=True, help="Let a disabled operator in again.")
@config_option
def set_(
    name: str,
    role: str | None,
    expires: str | None,
    *,
    no_expiry: bool,
    disable: bool,
    enable: bool,
    config_path: Path | None,
) -> None:
    """Change an operator's role, the end of their access, or whether they may come in at all."""
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    if (expires is not None and no_expiry) or (disable and enable):
        raise click.UsageError("Give --expires or --no-expiry, and --disable or --enable.")
    settings = reading_settings(config_path)
    changes: dict[str, Any] = {}
    if role is not None:
        changes["role"] = role
    if expires is not None or no_expiry:
        changes["expires_at"] = _moment(ZoneInfo(settings.timezone), expires)
    if disable or enable:
        changes["disabled"] = disable
    if not changes:
        raise click.UsageError("Say what to change: --role, --expires, --no-expiry, --disable, --enable.")
    with admin_client(settings, f"tollkeeper operators set {name}") as api:
        api.patch(resource_path("operators", name), changes)
    click.echo(f"Operator {name} was changed.", err=True)


@operators.command()
@click.argument("name")
@_json_option
@config_option
def rotate(name: str, *, as_json: bool, config_path: Path | None) -> None:
    """Replace an operator's token at once and print the new one."""
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    settings = loader(config_path, {})().settings
    with admin_client(settings, f"tollkeeper operators rotate {name}") as api:
        made = api.post(resource_path("operators", name, "rotate"))
    click.echo(f"The old token of operator {name} is refused from now on.", err=True)
    _print_token(made, as_json=as_json)


@operators.command()
@click.argument("name")
@config_option
def remove(name: str, config_path: Path | None) -> None:
    """Remove an operator. What they did stays in the audit trail."""
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    settings = loader(config_path, {})().settings
    with admin_client(settings, f"tollkeeper operators remove {name}") as api:
        api.delete(resource_path("operators", name))
    click.echo(f"Operator {name} was removed.", err=True)
