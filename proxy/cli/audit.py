"""tollkeeper audit: check the ledger against its own rows, and read who changed what."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click
from msgspec import to_builtins

from proxy.cli.audit_log import log
from proxy.cli.reading_settings import reading_settings
from proxy.cli.settings import config_option, loader
from proxy.core.errors import ConfigError

if TYPE_CHECKING:
    from proxy.config.load import LoadedConfig
    from proxy.config.schema import Settings
    from proxy.storage.reports import Reports
    from proxy.storage.sqlite.verify import ExpectedTotals, LedgerFindings

_MARGIN_S = 60.0  # on top of all timeouts of a request: the disk, the drain


def _check_options(command: Callable[..., Any]) -> Callable[..., Any]:
    database = click.option(
        "--database",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Check this ledger, such as a copy, without a configuration: limits are not checked.",
    )
    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    return database(as_json(config_option(command)))


@click.group(invoke_without_command=True)
@_check_options
@click.pass_context
def audit(ctx: click.Context, database: Path | None, config_path: Path | None, *, as_json: bool) -> None:
    """Recompute the ledger from its rows and report what does not add up. Reads only, also while the proxy runs.

    That is what audit check does too; audit log shows who changed what.

    Exit code 0: everything adds up; 1: it does not; 4: the ledger cannot be read.
    """
    if ctx.invoked_subcommand is None:
        _check(database, config_path, as_json=as_json)
    elif database is not None or config_path is not None or as_json:
        raise click.UsageError(f"Give the options behind {ctx.invoked_subcommand}.")


@audit.command()
@_check_options
def check(database: Path | None, config_path: Path | None, *, as_json: bool) -> None:
    """Recompute the ledger from its rows and report what does not add up, as plain audit does.

    Exit code 0: everything adds up; 1: it does not; 4: the ledger cannot be read.
    """
    _check(database, config_path, as_json=as_json)


audit.add_command(log)


def _check(database: Path | None, config_path: Path | None, *, as_json: bool) -> None:
    try:
        loaded = None if database is not None else loader(config_path, {})()
    except ConfigError:  # the ledger of a proxy that runs can be read without what the file says
        loaded, database = None, reading_settings(config_path).database
    path = database or (loaded.settings.database if loaded is not None else Path())
    findings = _audit(path, loaded)
    if as_json:
        click.echo(json.dumps(_document(findings), indent=2))
    else:
        _print(findings)
    sys.exit(1 if findings.count else 0)


def _audit(path: Path, loaded: "LoadedConfig | None") -> "LedgerFindings":
    from proxy.cli.progress import Progress  # noqa: PLC0415 - keeps --help quick
    from proxy.cli.running_proxy import is_running  # noqa: PLC0415
    from proxy.core.clock import SystemClock  # noqa: PLC0415
    from proxy.storage.sqlite.verify import verify_file  # noqa: PLC0415

    is_owned = loaded is not None and is_running(loaded.settings)
    with Progress("audit") as progress:
        return verify_file(
            path,
            lambda reports: _expected(reports, loaded),
            SystemClock().now_ms(),
            progress.at,
            is_owned=is_owned,
        )


def _expected(reports: "Reports", loaded: "LoadedConfig | None") -> "ExpectedTotals":
    from proxy.jobs.retention import configured_quotas  # noqa: PLC0415 - keeps --help quick
    from proxy.storage.sqlite.verify import ExpectedTotals  # noqa: PLC0415

    if loaded is None:
        return ExpectedTotals((), ZoneInfo(reports.labels().timezone), None, _forever_s(), _forever_s())
    settings = loaded.settings
    return ExpectedTotals(
        quotas=configured_quotas(settings, reports.list_users()),
        zone=ZoneInfo(settings.timezone),
        limits_changed_ms=_limits_changed_ms(reports, loaded),
        longest_request_s=_longest_request_s(settings),
        longest_look_up_s=float(settings.ledger.lookup_timeout_s),
    )


def _forever_s() -> float:
    """Return infinity: without a configuration the longest request is unknown, and open rows in a copy are normal."""
    return 1e9


def _limits_changed_ms(reports: "Reports", loaded: "LoadedConfig") -> int | None:
    """Return when a limit was last changed: the file's own time, or the last change of a user."""
    changed_ms = reports.users_changed_ms()
    moments = [] if changed_ms is None else [changed_ms]
    if loaded.path is not None:
        moments.append(int(loaded.path.stat().st_mtime * 1000))
    return max(moments, default=None)


def _longest_request_s(settings: "Settings") -> float:
    """Return how long a request may be open: every target may use up its time-outs."""
    server, targets = settings.server, max((len(preset.targets) for preset in settings.presets.values()), default=1)
    slowest = max((float(provider.total_timeout_s) for provider in settings.providers.values()), default=0.0)
    waits = (
        server.body_timeout_s
        + settings.quotas.wait_s
        + settings.ledger.settlement_timeout_s
        + server.shutdown_timeout_s
    )
    return slowest * targets + float(waits) + _MARGIN_S


def _document(findings: "LedgerFindings") -> dict[str, Any]:
    from proxy.core.money import pusd_to_usd  # noqa: PLC0415 - keeps --help quick

    found = to_builtins(findings)
    return {"ok": not findings.count, "count": findings.count, **found, "cost_usd": pusd_to_usd(findings.cost_pusd)}


def _print(findings: "LedgerFindings") -> None:
    from proxy.cli.table import printable  # noqa: PLC0415 - keeps --help quick
    from proxy.core.clock import iso_utc  # noqa: PLC0415
    from proxy.core.money import pusd_to_usd  # noqa: PLC0415

    click.echo(
        f"{findings.requests} requests, {findings.attempts} attempts, {findings.adjustments} adjustments,"
        f" {pusd_to_usd(findings.cost_pusd)} USD; {findings.open} open, {findings.pending} pending"
    )
    if findings.removed_before_ms:
        click.echo(f"Rows before {iso_utc(findings.removed_before_ms)} may have been removed (retention.rows).")
    for note in findings.notes:
        click.echo(f"Note: {printable(note)}", err=True)
    for difference in findings.differences:
        click.echo(printable(f"{difference.check:10} {difference.where}: {difference.text}"))
    if findings.count > len(findings.differences):
        click.echo(f"... and {findings.count - len(findings.differences)} more")
    click.echo("Everything adds up." if not findings.count else f"{findings.count} differences.")
