"""What the commands that read the ledger have in common: which file, which zone, which range of time."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click
from msgspec import Struct

from proxy.cli.moments import month_option, period_ms
from proxy.cli.settings import config_option, loader
from proxy.core.errors import ConfigError

if TYPE_CHECKING:
    from proxy.policy.exchange_rates import RateStep
    from proxy.storage.reports import Reports

database_option = click.option(
    "--database",
    "--db",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Read this ledger, such as a copy, without a configuration.",
)
_since_option = click.option(
    "--since",
    help="Start of the period: 7d, 24h, today, this-month, last-month, 2026-11, 2026-11-01T08:00. Default: all.",
)
_until_option = click.option(
    "--until", help="End of the period, exclusive (same formats; a date means 00:00 that day)."
)


def range_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --since, --until, --month, --database and -c."""
    for option in (config_option, database_option, month_option, _until_option, _since_option):
        command = option(command)
    return command


class Source(Struct, frozen=True):
    """A ledger to read, and the zone in which its dates are meant."""

    reports: "Reports"
    zone: ZoneInfo
    currency_code: str
    rates: "tuple[RateStep, ...]"  # what 1 USD cost over time
    users: frozenset[str] = frozenset()  # of the configuration


def open_source(config_path: Path | None, database: Path | None) -> Source:
    """Return the ledger of the configuration, or that of a file by name; raises LedgerError where it cannot be read.

    A configuration with a mistake keeps nobody from the figures of a proxy that runs: its ledger has noted zone and
    currency, as a copy has.
    """
    from proxy.policy.exchange_rates import first_rates  # noqa: PLC0415 - keeps --help quick
    from proxy.storage.labels import labels_of  # noqa: PLC0415
    from proxy.storage.sqlite.reports import open_reports  # noqa: PLC0415

    if database is not None:
        return _noted(open_reports(database))
    try:
        settings = loader(config_path, {})().settings
    except ConfigError:
        from proxy.cli.reading_settings import reading_settings  # noqa: PLC0415 - only then

        return _noted(open_reports(reading_settings(config_path).database))
    reports = open_reports(settings.database)
    code = settings.currency.code
    # the latter of a currency that no proxy has taken up yet
    rates = reports.rates(code) or first_rates(labels_of(settings).steps())
    return Source(reports, ZoneInfo(settings.timezone), code, rates, frozenset(settings.users))


def _noted(reports: "Reports") -> Source:
    """Return a ledger with what its last owner had configured."""
    kept = reports.labels()
    return Source(reports, ZoneInfo(kept.timezone), kept.currency_code, reports.rates(kept.currency_code))


def check_users(source: Source, names: Sequence[str]) -> None:
    """Raise click.ClickException for a name that nobody has or had: a typing mistake must not look like thrift."""
    from proxy.policy.nearest import nearest  # noqa: PLC0415 - keeps --help quick

    for name in names:
        if name in source.users or source.reports.has_user(name):
            continue
        hint = nearest(name, (*source.users, *source.reports.known_users()))
        did_you = f' Did you mean "{hint}"?' if hint else " See: tollkeeper users list"
        raise click.ClickException(f'There is no user "{name}", and nothing was ever booked for one.{did_you}')


def range_ms(
    source: Source, since: str | None, until: str | None, month: str | None, now_ms: int
) -> tuple[int | None, int | None]:
    """Read --since and --until, or --month; raises click.BadParameter."""
    return period_ms(since, until, month, source.zone, now_ms)
