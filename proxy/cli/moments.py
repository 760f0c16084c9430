"""Moments as people type them (see policy/period.py), as options of a command."""

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import click

from proxy.policy.period import LAST_MS, read_moment, read_month

_LAST: Final = datetime.fromtimestamp(LAST_MS // 1000, UTC)  # one who means "never" may have said an hour later


def moment_ms(text: str, zone: ZoneInfo, now_ms: int, *, option: str, ahead: bool = False) -> int:
    """Return milliseconds since 1970. A span counts back from now, or ahead; a date is its first instant in zone.

    Raises click.BadParameter that names the option.
    """
    try:
        return read_moment(text, zone, now_ms, ahead=ahead)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


month_option = click.option("--month", help="All of a month: 2026-11, this-month, last-month.")


def period_ms(
    since: str | None, until: str | None, month: str | None, zone: ZoneInfo, now_ms: int
) -> tuple[int | None, int | None]:
    """Return the period of --since and --until, or of --month; None: no bound. Raises click.BadParameter."""
    if month is not None:
        if since is not None or until is not None:
            raise click.UsageError("Give --month, or --since and --until.")
        try:
            return read_month(month, zone, now_ms)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--month") from None
    since_ms = None if since is None else moment_ms(since, zone, now_ms, option="--since")
    until_ms = None if until is None else moment_ms(until, zone, now_ms, option="--until")
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise click.BadParameter("it is not after --since, so nothing lies between them.", param_hint="--until")
    return since_ms, until_ms


def local(text: str, zone: ZoneInfo) -> datetime:
    """Return a time of the operator's API in a zone."""
    return min(datetime.fromisoformat(text), _LAST).astimezone(zone)


def shown(ms: int | None, zone: ZoneInfo) -> str | None:
    """Return a time for people, in their zone, to the minute."""
    return None if ms is None else datetime.fromtimestamp(min(ms, LAST_MS) / 1000, zone).strftime("%Y-%m-%d %H:%M")
