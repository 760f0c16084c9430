"""tollkeeper alerts destinations: where alerts go besides the log."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from proxy.cli.alert_options import alerts_api, given, say_made
from proxy.cli.settings import config_option

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def destinations() -> None:
    """Add, list, change and remove where alerts go besides the log."""


@destinations.command("list")
@_json_option
@config_option
def list_(*, as_json: bool, config_path: Path | None) -> None:
    """List destinations, without their addresses and secrets."""
    from proxy.cli.table import print_table  # noqa: PLC0415 - keeps --help quick

    with alerts_api(config_path, "destinations list") as (api, _):
        found = list(api.pages("/alerts/destinations"))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo(
            "Alerts go to the log alone. Add one: tollkeeper alerts destinations add NAME --kind slack", err=True
        )
        return
    rows = [
        (
            one["name"],
            one["kind"],
            one["problem"] or one["disabled"] or "in use",
            ", ".join(one["secrets"]),
            one["source"],
        )
        for one in found
    ]
    print_table(("destination", "kind", "state", "secrets", "source"), rows)


_SECRETS = (
    ("--url-file", "url", "A file that holds the address; - is stdin. On a terminal it is asked for, unseen."),
    ("--secret-file", "secret", "webhook: a file that holds the whsec_ secret."),
    ("--password-file", "password", "email: a file that holds the password."),
)
_DESTINATION_VALUES = (
    ("--host", "host", "email: the server that takes mail."),
    ("--port", "port", "email: its port."),
    ("--tls", "tls", "email: starttls, tls or none."),
    ("--username", "username", "email: the name to log in with."),
    ("--sender", "sender", "email: the address that it comes from."),
    ("--timeout", "timeout_s", "Longest time for one attempt, in seconds."),
)


def _destination_options(command: Any) -> Any:
    for option, name, help_ in reversed(_SECRETS):
        command = click.option(option, f"{name}_file", help=help_)(command)
    for option, name, help_ in reversed(_DESTINATION_VALUES):
        command = click.option(option, name, help=help_)(command)
    command = click.option("--to", "recipients", multiple=True, help="email: a recipient.")(command)
    private = "Let it be an address of this machine or network."
    return click.option("--allow-private/--no-private", "allow_private", default=None, help=private)(command)


def _read_secret(path: str) -> str:
    if path == "-":
        return sys.stdin.read().strip()
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def _destination(options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that were given, with what the files hold."""
    found = given(options)
    for _, name, _help in _SECRETS:
        path = found.pop(f"{name}_file", None)
        if path is not None:
            found[name] = _read_secret(path)
    return found


@destinations.command("add")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["webhook", "slack", "mattermost", "discord", "email"]),
    required=True,
    help="What it is.",
)
@_destination_options
@_json_option
@config_option
def add(name: str, kind: str, *, as_json: bool, config_path: Path | None, **options: Any) -> None:
    """Add a destination. Its address and secrets are sealed in the database, and shown never again."""
    settings = {"kind": kind, **_destination(options)}
    if kind != "email" and "url" not in settings and sys.stdin.isatty():
        settings["url"] = click.prompt("Address (https://…)", hide_input=True, err=True).strip()
    with alerts_api(config_path, f"destinations add {name}") as (api, _):
        made = api.post("/alerts/destinations", {"name": name, "settings": settings})
    say_made(made, f"Destination {name} was added. Try it out: tollkeeper alerts test {name}", as_json=as_json)


@destinations.command("set")
@click.argument("name")
@_destination_options
@_json_option
@config_option
def set_(name: str, *, as_json: bool, config_path: Path | None, **options: Any) -> None:
    """Change a destination of the database; what is not given stays."""
    from proxy.cli.admin_client import resource_path  # noqa: PLC0415 - keeps --help quick

    settings = _destination(options)
    if not settings:
        raise click.UsageError("Give at least one setting.")
    with alerts_api(config_path, f"destinations set {name}") as (api, _):
        made = api.patch(resource_path("alerts", "destinations", name), {"settings": settings})
    say_made(made, f"Destination {name} was changed.", as_json=as_json)


@destinations.command("remove")
@click.argument("name")
@config_option
def remove(name: str, config_path: Path | None) -> None:
    """Remove a destination of the database that no rule uses."""
    from proxy.cli.admin_client import resource_path  # noqa: PLC0415 - keeps --help quick

    with alerts_api(config_path, f"destinations remove {name}") as (api, _):
        api.delete(resource_path("alerts", "destinations", name))
    click.echo(f"Destination {name} was removed.", err=True)
