"""tollkeeper backup: a consistent copy of the ledger, while the proxy runs or not."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proxy.cli.reading_settings import reading_settings
from proxy.cli.settings import config_option

if TYPE_CHECKING:
    from proxy.config.schema import Settings

_LONGEST_S = 3600.0  # a ledger of 100 GB on a slow disk


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def backup(file: Path, config_path: Path | None, *, force: bool, as_json: bool) -> None:
    """Copy the ledger to FILE as it is at one moment, and check the copy. The proxy keeps running."""
    from proxy.cli.progress import Progress  # noqa: PLC0415 - keeps --help quick
    from proxy.core.money import pusd_to_usd  # noqa: PLC0415

    settings = reading_settings(config_path)
    with Progress("backup"):
        copied = _copy(settings, file.absolute(), force=force)
    if as_json:
        click.echo(json.dumps({**copied, "cost_usd": pusd_to_usd(copied["cost_pusd"])}, indent=2))
        return
    click.echo(
        f"{copied['path']}: {copied['requests']} requests, {pusd_to_usd(copied['cost_pusd'])} USD,"
        f" {copied['size_bytes']} bytes"
    )


def _copy(settings: "Settings", file: Path, *, force: bool) -> dict[str, Any]:
    """Ask the running proxy to make the copy, or make it here if none is running."""
    from msgspec.structs import asdict  # noqa: PLC0415 - keeps --help quick

    from proxy.cli.running_proxy import ask_running  # noqa: PLC0415
    from proxy.storage.sqlite.reports import SqliteReports  # noqa: PLC0415

    if sys.platform != "win32":  # Windows has no socket to ask over: the copy is made here
        found = ask_running(settings, "backup", {"path": str(file), "force": force}, timeout_s=_LONGEST_S)
        if found is not None:
            return dict(found)
    return asdict(SqliteReports(settings.database).copy_to(file, force=force))
