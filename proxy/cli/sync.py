"""tollkeeper sync: compare days with the provider's bill now, and book what follows if that is configured."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from proxy.cli.settings import config_option, loader

_KEPT_DAYS = 30  # that a provider tells of


@click.command()
@click.option("--from", "first", metavar="DAY", help="The first day of UTC, such as 2026-11-01; default: yesterday.")
@click.option("--to", "last", metavar="DAY", help="The last one; default: today.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def sync(first: str | None, last: str | None, *, as_json: bool, config_path: Path | None) -> None:
    """Compare days of the ledger with the provider's bill.

    It takes a management key of the provider. A day that was compared already is compared anew, and nothing is booked
    twice. The provider tells of today and of the 30 days before it.
    """
    from proxy.cli.admin_client import PROVIDER_ANSWER_S, admin_client  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.drift_table import print_days  # noqa: PLC0415
    from proxy.cli.progress import Progress  # noqa: PLC0415

    days = _days(first, last)
    loaded = loader(config_path, {})()
    found: list[dict[str, Any]] = []
    problems: list[str] = []
    with (
        admin_client(loaded.settings, "tollkeeper sync", loaded, answer_s=PROVIDER_ANSWER_S) as api,
        Progress("sync") as progress,
    ):
        for n, day in enumerate(days):
            progress.at(n / len(days), day.isoformat())
            report = api.post("/account/sync", {"day": day.isoformat()})
            found += report["days"]
            problems += [f"{day}: {one['problem']}" for one in report["problems"]]
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        print_days(found)
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise SystemExit(1)


def _days(first: str | None, last: str | None) -> list[date]:
    """Return the days that are meant; raises click.BadParameter."""
    today = datetime.now(UTC).date()
    end = today if last is None else day_of_text(last, "--to")
    begin = min(today - timedelta(days=1), end) if first is None else day_of_text(first, "--from")
    for day, option in ((begin, "--from"), (end, "--to")):
        if day > today:
            raise click.BadParameter(f"{day} has not begun: in UTC it is {today}.", param_hint=option)
    in_order(begin, end)
    if (today - begin).days > _KEPT_DAYS:
        earliest = today - timedelta(days=_KEPT_DAYS)
        text = f"{begin} is too long ago: the provider tells of days from {earliest} on."
        raise click.BadParameter(text, param_hint="--from")
    return [begin + timedelta(days=n) for n in range((end - begin).days + 1)]


def in_order(first: date, last: date, option: str = "--from") -> None:
    """Raise click.BadParameter where the first day comes after the last."""
    if first > last:
        raise click.BadParameter(f"{first} is after {last}, the day of --to.", param_hint=option)


def day_of_text(text: str, option: str) -> date:
    """Return a day as it was typed; raises click.BadParameter that names the option."""
    today = datetime.now(UTC).date()
    if text in ("today", "yesterday"):
        return today if text == "today" else today - timedelta(days=1)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a day. Write 2026-11-01 (UTC).", param_hint=option) from None
