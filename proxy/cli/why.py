"""tollkeeper why: one request in one paragraph."""

import json
import shutil
import sys
from pathlib import Path
from urllib.parse import quote

import click

from proxy.cli.reading_settings import reading_settings
from proxy.cli.settings import config_option


@click.command()
@click.argument("request_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def why(request_id: str, *, as_json: bool, config_path: Path | None) -> None:
    """Say in one paragraph what was asked, what its limits said, where it went, what it cost, and how sure that is."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.table import printable  # noqa: PLC0415

    settings = reading_settings(config_path)
    with admin_client(settings, f"tollkeeper why {request_id}") as api:
        found = api.get(f"/requests/{quote(request_id, safe='')}/explanation")
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    text = printable(found["text"])
    if sys.stdout.isatty():
        text = click.wrap_text(text, max(shutil.get_terminal_size().columns - 1, 20))
    click.echo(text)
