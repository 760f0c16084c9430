"""Options that say which requests, for requests and tail, and what the operator's API is asked for."""

import re
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import click

from proxy.cli.moments import month_option, period_ms

_STATES = ("open", "pending", "settled", "released", "refused")
_STATUS = re.compile(r"[1-5]([0-9]{2}|xx)|ok|error", re.ASCII)
_FILTERS = (
    click.option("--user", help="Only this user's."),
    click.option("--group", help="Only this group's."),
    click.option("--token", help="Only those with the token of this id."),
    click.option("--model", help='Asked for or answering, such as "openai/*".'),
    click.option("--provider", help="Answered by this provider, or sent to it first."),
    click.option("--status", help=f"Such as 429, 4xx, ok, error, or a state: {', '.join(_STATES)}."),
    click.option("--error", help="With this code, such as insufficient_quota."),
    click.option("--use-case", help="Only this use case's."),
    click.option("--session", help="Only this session's."),
    click.option("--min-cost", help="That cost at least so much in USD, such as 0.01."),
    click.option(
        "--charged-in-full",
        is_flag=True,
        flag_value="true",
        default=None,
        help="Whose whole reservation is charged, for no id came.",
    ),
)
_PERIOD = (
    click.option("--since", help="Begun since: today, yesterday, this-month, 2h, 7d, 2026-11-01T08:00."),
    click.option("--until", help="Begun before (same formats)."),
    month_option,
)


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the filters; they arrive as keyword arguments."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def period_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --since, --until and --month."""
    for option in reversed(_PERIOD):
        command = option(command)
    return command


def request_query(filters: Mapping[str, str | None]) -> dict[str, str]:
    """Return the query of /requests for the filters that were given; raises click.BadParameter."""
    given = {name: value for name, value in filters.items() if value is not None}
    query = {name: given[name] for name in given if name not in ("status", "min_cost")}
    status = given.get("status")
    if status in _STATES:
        query["state"] = status
    elif status is not None:
        if _STATUS.fullmatch(status) is None:
            raise click.BadParameter(
                f"{status!r}: write a status such as 429, a class such as 4xx, ok, error, or a state:"
                f" {', '.join(_STATES)}.",
                param_hint="--status",
            )
        query["status"] = status
    if "min_cost" in given:
        query["min_cost_usd"] = given["min_cost"].removeprefix("$")
    return query


def period_query(since: str | None, until: str | None, month: str | None, zone: ZoneInfo) -> dict[str, str]:
    """Return the query of a period; raises click.BadParameter."""
    from proxy.core.clock import SystemClock  # noqa: PLC0415 - keeps --help quick
    from proxy.web.admin.moment import moment_text  # noqa: PLC0415

    since_ms, until_ms = period_ms(since, until, month, zone, SystemClock().now_ms())
    bounds = {"since": moment_text(since_ms), "until": moment_text(until_ms)}
    return {name: text for name, text in bounds.items() if text is not None}
