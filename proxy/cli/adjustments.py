"""tollkeeper adjustments: costs that became known late; and to book what a bill says."""

import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from proxy.cli.reading_settings import reading_settings
from proxy.cli.request_filters import period_options, period_query
from proxy.cli.settings import config_option

_HEAD = ("booked", "request", "user", "was_usd", "is_usd", "reason (source)")
_WHOLE = frozenset({"booked", "request"})
_PLAIN = 80  # columns where there is no terminal


@click.group()
def adjustments() -> None:
    """Costs that became known after a request had ended: list them, ask again, book what a bill says.

    The row of a request stays as it was; views, reports, exports and limits add its adjustments to it.
    """


@adjustments.command("list")
@click.option("--request", metavar="ID", help="Of this request (req_...).")
@click.option("--user", metavar="NAME", help="Of this user's requests.")
@click.option("--provider", metavar="NAME", help="Of answers of this provider.")
@click.option("--key", metavar="NAME", help="Charged to this key of a provider.")
@click.option("--model", metavar="NAME", help="Of answers of this model.")
@click.option("--source", metavar="WORD", help="That this source has told, such as generation.")
@click.option("--day", metavar="DATE", help="Of requests of this day (2026-11-30).")
@click.option("--unattached", is_flag=True, help="Only what belongs to no request.")
@period_options
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def list_(
    config_path: Path | None,
    since: str | None,
    until: str | None,
    month: str | None,
    limit: int,
    *,
    unattached: bool,
    as_json: bool,
    **filters: str | None,
) -> None:
    """List costs that became known late, the last booked first; times are of when they were booked."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    settings = reading_settings(config_path)
    zone = ZoneInfo(settings.timezone)
    query: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
    query |= period_query(since, until, month, zone)
    if unattached:
        query["unattached"] = "true"
    with admin_client(settings, "tollkeeper adjustments list") as api:
        found = list(islice(api.pages("/adjustments", {**query, "limit": min(limit, 1000)}), limit))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("There are no such adjustments.", err=True)
        return
    _print(found, zone)
    if len(found) == limit:
        click.echo(f"These are the last {limit}; --limit shows more.", err=True)


def _print(found: list[dict[str, Any]], zone: ZoneInfo) -> None:
    from proxy.cli.table import plain_table, print_table, printable  # noqa: PLC0415 - keeps --help quick

    right = frozenset({"was_usd", "is_usd"})
    if sys.stdout.isatty():
        rows = [(*_figures(one, zone, one["reference"]), f"{one['reason']} ({one['source']})") for one in found]
        print_table(_HEAD, rows, right=right, whole=_WHOLE)
        return
    head, *lines = plain_table([_HEAD[:-1], *(tuple(map(printable, _figures(one, zone, "-"))) for one in found)], right)
    click.echo(head)
    for one, line in zip(found, lines, strict=True):
        said = " ".join((*([one["reference"]] if one["reference"] else []), one["reason"], f"({one['source']})"))
        click.echo(f"{line}\n{click.wrap_text(printable(said), _PLAIN - 1, '  ', '  ')}")


def _figures(one: dict[str, Any], zone: ZoneInfo, reference: str | None) -> tuple[str, ...]:
    """Return all of an adjustment but its reason. reference: what stands for the request where there is none."""
    from proxy.cli.moments import local  # noqa: PLC0415 - keeps --help quick

    when = f"{local(one['booked_at'], zone):%m-%d %H:%M}"
    return when, one["request_id"] or reference or "-", one["user"] or "-", one["booked_usd"], one["actual_usd"]


@adjustments.command("book")
@click.argument("request_id", metavar="ID")
@click.option("--actual", "actual_usd", required=True, metavar="USD", help="What it cost in all, such as 0.0125.")
@click.option("--reason", required=True, help="Why, for whoever reads it later: the bill of November.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def book(request_id: str, actual_usd: str, reason: str, *, as_json: bool, config_path: Path | None) -> None:
    """Book what a request (req_...) cost after all; the same again changes nothing."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    settings = reading_settings(config_path)
    with admin_client(settings, f"tollkeeper adjustments book {request_id}") as api:
        actual = actual_usd.strip().removeprefix("$")  # as amounts are shown
        found = api.post("/adjustments", {"request_id": request_id, "actual_usd": actual, "reason": reason})
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found["how"] == "unchanged":
        click.echo(f"{request_id} is booked at ${found['actual_usd']} already: nothing was changed.", err=True)
    else:
        was = "was waiting for its cost" if found["how"] == "settled" else f"was booked at ${found['booked_usd']}"
        click.echo(f"{request_id} {was}, and is booked at ${found['actual_usd']} now.", err=True)


@adjustments.command("look-up")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def look_up(*, as_json: bool, config_path: Path | None) -> None:
    """Ask providers now what they charged for what was charged in full, without waiting for the next time."""
    from proxy.cli.admin_client import PROVIDER_ANSWER_S, admin_client  # noqa: PLC0415 - keeps --help quick

    settings = reading_settings(config_path)
    with admin_client(settings, "tollkeeper adjustments look-up", answer_s=PROVIDER_ANSWER_S) as api:
        found = api.post("/adjustments/look_up", None)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(
        f"{found['told']} were told and booked, {found['waiting']} are asked for again later,"
        f" {found['given_up']} are given up.",
        err=True,
    )
