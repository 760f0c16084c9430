"""What the commands that read the ledger have in common: which file, which zone, which range of time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from proxy.cli.settings import config_option, loader
from proxy.core.errors import LedgerError

if TYPE_CHECKING:
    import sqlite3

_database_option = click.option(
    "--database",
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
    """Add --since, --until, --database and -c."""
    for option in (config_option, _database_option, _until_option, _since_option):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Source:
    """An open, read-only ledger, and the zone in which its dates are meant."""

    connection: "sqlite3.Connection"
    zone: ZoneInfo
    currency_code: str
    usd_rate: str
    users: frozenset[str] = frozenset()  # of the configuration


@contextmanager
def opened_source(config_path: Path | None, database: Path | None) -> Iterator[Source]:
    """Open the ledger of the configuration, or a file by name; what goes wrong while it is read is a SetupError."""
    import sqlite3  # noqa: PLC0415 - keeps --help quick

    source = _open(config_path, database)
    try:
        yield source
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"The ledger cannot be read: {error}. tollkeeper check tells more.") from None
    finally:
        source.connection.close()


def _open(config_path: Path | None, database: Path | None) -> Source:
    from proxy.storage.sqlite.reports import labels, open_reader  # noqa: PLC0415 - keeps --help quick

    if database is not None:
        connection = open_reader(database)
        kept = labels(connection)
        return Source(connection, ZoneInfo(kept.timezone), kept.currency_code, kept.usd_rate)
    settings = loader(config_path, {})().settings
    connection = open_reader(settings.database)
    currency = settings.currency
    return Source(
        connection, ZoneInfo(settings.timezone), currency.code, str(currency.usd_rate), frozenset(settings.users)
    )


def check_users(source: Source, names: Sequence[str]) -> None:
    """Raise click.ClickException for a name that nobody has or had: a typing mistake must not look like thrift."""
    from proxy.policy.nearest import nearest  # noqa: PLC0415 - keeps --help quick
    from proxy.storage.sqlite.reports import has_user, known_users  # noqa: PLC0415

    for name in names:
        if name in source.users or has_user(source.connection, name):
            continue
        hint = nearest(name, (*source.users, *known_users(source.connection)))
        did_you = f' Did you mean "{hint}"?' if hint else " See: tollkeeper users list"
        raise click.ClickException(f'There is no user "{name}", and nothing was ever booked for one.{did_you}')


def range_ms(source: Source, since: str | None, until: str | None, now_ms: int) -> tuple[int | None, int | None]:
    """Read --since and --until; raises click.BadParameter."""
    from proxy.cli.moments import moment_ms  # noqa: PLC0415 - keeps --help quick

    since_ms = None if since is None else moment_ms(since, source.zone, now_ms, option="--since")
    until_ms = None if until is None else moment_ms(until, source.zone, now_ms, option="--until")
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise click.BadParameter("it is not after --since, so nothing lies between them.", param_hint="--until")
    return since_ms, until_ms
