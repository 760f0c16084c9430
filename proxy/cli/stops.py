"""tollkeeper stops: what is stopped, by whom, why and until when."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from proxy.cli.reading_settings import reading_settings
from proxy.cli.settings import config_option
from proxy.cli.stop_selector import Selector, effect_text


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def stops(*, as_json: bool, config_path: Path | None) -> None:
    """List what is stopped."""
    show_stops(config_path, as_json=as_json)


def show_stops(config_path: Path | None, *, as_json: bool) -> None:
    """Print what is stopped."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.moments import shown  # noqa: PLC0415
    from proxy.cli.table import print_table  # noqa: PLC0415

    settings = reading_settings(config_path)
    with admin_client(settings, "tollkeeper stops") as api:
        found = list(api.pages("/stops"))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("Nothing is stopped.", err=True)
        return
    zone = ZoneInfo(settings.timezone)
    rows = []
    for stop in found:
        times = (shown(_ms(stop["created_at"]), zone), shown(_ms(stop["ends_at"]), zone) or "-")
        rows.append((stop["id"], _what(stop), *times, stop["actor"], stop["reason"] or "-"))
    print_table(("id", "stopped", "since", "until", "by", "reason"), rows, whole=frozenset({"id"}))
    for stop in found:
        if not stop["is_durable"]:
            click.echo(f"{stop['id']} is not on disk: it would end with the proxy.", err=True)


def _what(stop: Mapping[str, Any]) -> str:
    """Return what is stopped, and what becomes of it where that is no refusal."""
    effect = effect_text(stop)
    return Selector(stop["kind"], stop["subject"]).what + ("" if effect == "stop" else f" ({effect})")


def _ms(text: str | None) -> int | None:
    return None if text is None else int(datetime.fromisoformat(text).timestamp() * 1000)
