"""tollkeeper dashboard: open it in a browser without typing a token; list and end sessions."""

import json
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from proxy.cli.reading_settings import reading_settings
from proxy.cli.settings import config_option


@click.group(invoke_without_command=True)
@click.option("--print", "prints", is_flag=True, help="Print the address instead of opening a browser.")
@config_option
@click.pass_context
def dashboard(context: click.Context, *, prints: bool, config_path: Path | None) -> None:
    """Open the dashboard in a browser, logged in.

    The address holds a code that logs one browser in, once, within a minute. It comes over the proxy's socket, which
    answers the system user that runs the proxy.
    """
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    if context.invoked_subcommand is not None:
        return
    with admin_client(reading_settings(config_path), "tollkeeper dashboard") as api:
        made = api.post("/sessions/codes")
    if prints or not _opened(made["address"]):
        click.echo("Open this within a minute; it logs one browser in, once:", err=True)
        click.echo(made["address"])
        return
    click.echo("The dashboard opens in your browser.", err=True)


def _opened(address: str) -> bool:
    """Open a browser; return whether there is one. Browsers of a terminal would take the screen: they are none."""
    import os  # noqa: PLC0415 - keeps --help quick
    import sys  # noqa: PLC0415
    import webbrowser  # noqa: PLC0415

    has_screen = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if not has_screen and "BROWSER" not in os.environ:
        return False
    return webbrowser.open(address)


@dashboard.command("sessions")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def sessions(*, as_json: bool, config_path: Path | None) -> None:
    """List who is logged in to the dashboard and to users' own pages."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.moments import local  # noqa: PLC0415
    from proxy.cli.table import print_table  # noqa: PLC0415

    settings = reading_settings(config_path)
    with admin_client(settings, "tollkeeper dashboard sessions") as api:
        found = list(api.pages("/sessions"))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("Nobody is logged in.", err=True)
        return
    zone = ZoneInfo(settings.timezone)
    rows = [
        (
            one["id"],
            one["name"],
            "dashboard" if one["audience"] == "operator" else "own page",
            one["login"],
            one["address"],
            f"{local(one['seen_at'], zone):%Y-%m-%d %H:%M}",
        )
        for one in found
    ]
    print_table(("id", "name", "sees", "by", "from", "last seen"), rows, whole=frozenset({"id"}))


@dashboard.command("end")
@click.argument("session")
@config_option
def end(session: str, config_path: Path | None) -> None:
    """Log somebody out; SESSION: an id of tollkeeper dashboard sessions."""
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    with admin_client(reading_settings(config_path), f"tollkeeper dashboard end {session}") as api:
        ended = api.delete(resource_path("sessions", session))
    click.echo(f"{ended['name']} is logged out of that browser.", err=True)
