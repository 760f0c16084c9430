"""tollkeeper resume: let go on what was stopped."""

from pathlib import Path
from typing import Any

import click

from proxy.cli.reading_settings import reading_settings
from proxy.cli.settings import config_option
from proxy.cli.stop_selector import Selector, selector_of, selector_options


@click.command()
@click.argument("stop_id", metavar="[ID]", required=False)
@selector_options
@config_option
def resume(stop_id: str | None, config_path: Path | None, **named: Any) -> None:
    """Let go on what was stopped: a stop by its id, or all with the same option, such as --user bo.

    In force when the command ends. --all ends stops of everything; others hold on, and are listed.
    """
    from proxy.cli.admin_client import admin_client, resource_path  # noqa: PLC0415 - keeps --help quick

    wanted = selector_of(named)
    if (wanted is None) is (stop_id is None):
        raise click.UsageError("Say what may go on: the ID of a stop, or one of the options. See: tollkeeper stops")
    settings = reading_settings(config_path)
    with admin_client(settings, "tollkeeper resume") as api:
        if wanted is not None:
            filters = {"kind": wanted.kind, "subject": wanted.subject or None}
            ids = [stop["id"] for stop in api.pages("/stops", filters)]
        else:
            ids = [str(stop_id)]
        if not ids and wanted is not None:
            raise click.ClickException(f"There is no stop of {wanted.what}. See: tollkeeper stops")
        ended = [api.delete(resource_path("stops", id_)) for id_ in ids]
        left = list(api.pages("/stops"))
    for stop in ended:
        click.echo(f"Resumed: {Selector(stop['kind'], stop['subject']).what}.", err=True)
    for stop in left:
        click.echo(f"Still stopped: {Selector(stop['kind'], stop['subject']).what} ({stop['id']}).", err=True)
