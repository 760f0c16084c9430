"""tollkeeper requests: what was asked, newest first, refused requests too."""

import json
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from proxy.cli.reading_settings import reading_settings
from proxy.cli.request_filters import filter_options, period_options, period_query, request_query
from proxy.cli.settings import config_option

_HEAD = ("time", "request", "user", "model", "status", "cost_usd")
_WHOLE = frozenset({"time", "request", "status"})


@click.command()
@filter_options
@period_options
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def requests(
    config_path: Path | None,
    since: str | None,
    until: str | None,
    month: str | None,
    limit: int,
    *,
    as_json: bool,
    **filters: str | None,
) -> None:
    """List requests, refused ones too, newest first. What one was about: tollkeeper show, tollkeeper why."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    query = request_query(filters)
    settings = reading_settings(config_path)
    zone = ZoneInfo(settings.timezone)
    query |= period_query(since, until, month, zone)
    with admin_client(settings, "tollkeeper requests") as api:
        found = list(islice(api.pages("/requests", {**query, "limit": min(limit, 1000)}), limit))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("There are no such requests.", err=True)
        return
    _print(found, zone)
    if len(found) == limit:
        click.echo(f"These are the newest {limit}; --limit shows more.", err=True)


def _print(found: list[dict[str, Any]], zone: ZoneInfo) -> None:
    from proxy.cli.moments import local  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.table import print_table  # noqa: PLC0415

    rows = [
        (
            f"{local(one['started_at'], zone):%m-%d %H:%M}",
            one["id"],
            one["user"],
            one["requested_model"] or one["endpoint"],
            _outcome(one),
            None if one["cost_usd"] is None else one["cost_usd"],
        )
        for one in found
    ]
    print_table(_HEAD, rows, right=frozenset({"cost_usd"}), whole=_WHOLE)


def _outcome(one: dict[str, Any]) -> str:
    """Return the status that the client got, or the state of what has not ended."""
    more = f" x{one['more'] + 1}" if one["more"] else ""
    return f"{one['status'] or one['state']}{more}"
