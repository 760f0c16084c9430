"""tollkeeper reconcile: the ledger beside the provider's bill, as it was compared last."""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proxy.cli.reading_settings import reading_settings
from proxy.cli.settings import config_option
from proxy.cli.sync import day_of_text, in_order

if TYPE_CHECKING:
    from proxy.cli.admin_client import AdminClient
    from proxy.cli.key_counts import KeyCounts

UNEXPLAINED = 6
"""The exit code where more drift than reconcile.unexplained_max_usd is explained by nothing."""
_PUSD = 10**12


@click.command()
@click.option(
    "--from",
    "first",
    metavar="DAY",
    help="The first day of UTC, such as 2026-11-01; default: 30 days before today, or --to.",
)
@click.option("--to", "last", metavar="DAY", help="The last one; default: today.")
@click.option("--since", metavar="WHEN", help="In place of --from: today, yesterday, this-month, 7d, 2026-11.")
@click.option("--explain", is_flag=True, help="Show the differences one by one, in sentences.")
@click.option(
    "--keys",
    is_flag=True,
    help="Show what the provider has counted for each key too, today, this week and month; without a management key it"
    " is shown anyway.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def reconcile(
    first: str | None,
    last: str | None,
    since: str | None,
    *,
    explain: bool,
    keys: bool,
    as_json: bool,
    config_path: Path | None,
) -> None:
    """Show the ledger beside the provider's bill: each difference in a class, and the sums of classes.

    It shows what was compared last, by itself or by tollkeeper sync. Without a management key the ledger is held
    against what the provider has counted for each key, by sums alone. Exit code 6: more drift than
    reconcile.unexplained_max_usd is explained by nothing.
    """
    from proxy.cli.admin_client import PROVIDER_ANSWER_S, admin_client  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.drift_table import class_totals, print_classes  # noqa: PLC0415
    from proxy.cli.key_counts import key_counts  # noqa: PLC0415

    if first is not None and since is not None:
        raise click.UsageError("Give --from or --since, not both.")
    settings = reading_settings(config_path)
    end = datetime.now(UTC).date() if last is None else day_of_text(last, "--to")
    begin = _first(first, since, end)
    in_order(begin, end, "--from" if since is None else "--since")
    query = {"since": begin.isoformat(), "until": end.isoformat()}
    with admin_client(settings, "tollkeeper reconcile", answer_s=PROVIDER_ANSWER_S) as api:
        days = list(api.pages("/reconciliations", query))
        rows = _rows(api, query) if explain else []
        sources = list(api.pages("/reconciliations/sources"))
        counts = key_counts(api, is_wanted=keys, is_today=end >= datetime.now(UTC).date())
    if as_json:
        shown: dict[str, Any] = {"days": days, "classes": class_totals(days)}
        shown |= {"rows": rows} if explain else {}
        click.echo(json.dumps(shown | counts.json(), indent=2))
    else:
        if days:
            print_classes(days)
        else:
            click.echo(f"No day of these was compared yet.{_todo(sources, counts)}", err=True)
        for row in rows:
            _explain(row)
        counts.show(is_first=not days)
    for source in sources:
        if source["problem"] is not None:
            click.echo(f"{source['provider']}: the last comparison failed: {source['problem']}", err=True)
    unexplained_pusd = max(sum(abs(day["unexplained_pusd"]) for day in days), counts.unexplained_pusd())
    if unexplained_pusd > settings.reconcile.unexplained_max_usd * _PUSD:
        sys.exit(UNEXPLAINED)


def _todo(sources: Sequence[Mapping[str, Any]], counts: "KeyCounts") -> str:
    """Return what to do so that days are compared; of keys without a bill it is said beside what they have counted."""
    if any(source["level"] != "keys" for source in sources):
        return " Compare some: tollkeeper sync"
    return "" if counts.alone() else " It takes providers.<name>.management_key."


def _explain(row: dict[str, Any]) -> None:
    from proxy.cli.table import printable  # noqa: PLC0415 - keeps --help quick

    width = max(shutil.get_terminal_size().columns, 40)
    click.echo(f"\n{row['day']} {row['name']}")
    click.echo(click.wrap_text(printable(row["text"]), width - 1, "  ", "  "))


def _rows(api: "AdminClient", query: dict[str, str]) -> list[dict[str, Any]]:
    return list(api.pages("/reconciliations/rows", query))


def _first(first: str | None, since: str | None, end: date) -> date:
    if first is not None:
        return day_of_text(first, "--from")
    if since is None:
        return min(datetime.now(UTC).date(), end) - timedelta(days=30)
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - keeps --help quick

    from proxy.cli.moments import moment_ms  # noqa: PLC0415

    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    at_ms = moment_ms(since, ZoneInfo("UTC"), now_ms, option="--since")
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()
