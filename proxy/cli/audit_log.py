"""tollkeeper audit log: who changed what, and whether the record of it is whole."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from zoneinfo import ZoneInfo

import click

from proxy.cli.reading_settings import reading_settings
from proxy.cli.settings import config_option

if TYPE_CHECKING:
    from proxy.storage.reports import Reports

_SHOWN = 50
_VALUE_CHARS = 60  # of one value in the table; --json has all of it


class _Trail(Protocol):
    """What the command asks: the operator's API, or the file of a copy."""

    def entries(self, query: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
        """Return entries, the newest first."""
        ...

    def verification(self, head: str | None) -> dict[str, Any]:
        """Return what a look over the whole chain found."""
        ...


@click.command()
@click.option("--since", metavar="TIME", help="Entries from then on: 7d, today, 2026-11-01T08:00.")
@click.option("--actor", metavar="NAME", help="Entries of this operator or system user.")
@click.option("--subject", metavar="NAME", help="Entries about this user, token, limit, stop and so on.")
@click.option("--action", metavar="PATTERN", help='Entries of this kind: users.set, or "users.*".')
@click.option("-n", "count", type=click.IntRange(1, 1_000_000), default=_SHOWN, show_default=True, help="How many.")
@click.option("--verify", is_flag=True, help="Recompute the chain; exit code 1 where it does not hold.")
@click.option("--head", "as_head", is_flag=True, help="Print where the chain ends, to be noted elsewhere.")
@click.option("--noted", metavar="HEAD", help="With --verify: a head that was noted, which must be in the chain.")
@click.option(
    "--database", type=click.Path(path_type=Path, dir_okay=False), help="Read this ledger, without a configuration."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def log(
    since: str | None,
    count: int,
    noted: str | None,
    database: Path | None,
    config_path: Path | None,
    *,
    verify: bool,
    as_head: bool,
    as_json: bool,
    **words: str | None,
) -> None:
    """Show who changed what, when and from where, the newest last; or verify that the record of it is whole.

    Each entry holds the hash of the one before it, so that a changed, removed, added or moved entry is found, and a
    cut end too. Who owns the file could still write the whole chain anew: note --head elsewhere from time to time, and
    hold the chain to it with --verify --noted.
    """
    if noted is not None and not verify:
        raise click.UsageError("--noted goes with --verify.")
    if noted is not None:
        _check_head(noted)
    with _trail(database, config_path) as (trail, zone):
        if verify or as_head:
            _verify(trail, noted, as_head=as_head, as_json=as_json)
            return
        found = trail.entries({**words, "since": _moment(since, zone)}, count)[::-1]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("There is no such entry.", err=True)
        return
    _print(found, zone)


def _check_head(text: str) -> None:
    """Raise click.BadParameter for what --head never printed."""
    from proxy.storage.audit import read_head_text  # noqa: PLC0415 - keeps --help quick

    if read_head_text(text) is None:
        raise click.BadParameter("a number, a colon and 64 hexadecimal digits are needed.", param_hint="--noted")


@contextmanager
def _trail(database: Path | None, config_path: Path | None) -> Iterator[tuple[_Trail, ZoneInfo]]:
    if database is not None:
        from proxy.storage.sqlite.reports import open_reports  # noqa: PLC0415 - keeps --help quick

        reports = open_reports(database)
        yield _FileTrail(reports), ZoneInfo(reports.labels().timezone)
        return
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    settings = reading_settings(config_path)
    with admin_client(settings, "tollkeeper audit log") as api:
        yield _ApiTrail(api), ZoneInfo(settings.timezone)


class _ApiTrail:
    """The audit trail of the operator's API."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def entries(self, query: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for entry in self._api.pages("/audit", {**query, "limit": min(count, 1000)}):
            found.append(entry)
            if len(found) == count:
                break
        return found

    def verification(self, head: str | None) -> dict[str, Any]:
        found: dict[str, Any] = self._api.get("/audit/verification", {"head": head})
        return found


class _FileTrail:
    """The audit trail of a ledger that is read beside its owner, or a copy of one."""

    def __init__(self, reports: "Reports") -> None:
        self._reports = reports

    def entries(self, query: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
        from datetime import datetime  # noqa: PLC0415 - keeps --help quick

        from proxy.storage.audit import AuditFilter  # noqa: PLC0415
        from proxy.web.admin.audit import audit_json  # noqa: PLC0415
        from proxy.web.admin.moment import moment_ms  # noqa: PLC0415

        since = None if query["since"] is None else moment_ms(datetime.fromisoformat(query["since"]))
        wanted = AuditFilter(since, None, query["actor"], query["action"], query["subject"])
        return [audit_json(row) for row in self._reports.audit_entries(wanted, None, count)]

    def verification(self, head: str | None) -> dict[str, Any]:
        from proxy.storage.audit import read_head_text  # noqa: PLC0415 - keeps --help quick
        from proxy.web.admin.audit import verification_json  # noqa: PLC0415

        return verification_json(self._reports.verify_audit(None if head is None else read_head_text(head)))


def _moment(text: str | None, zone: ZoneInfo) -> str | None:
    from proxy.cli.moments import moment_ms  # noqa: PLC0415 - keeps --help quick
    from proxy.core.clock import SystemClock  # noqa: PLC0415
    from proxy.web.admin.moment import moment_text  # noqa: PLC0415

    return None if text is None else moment_text(moment_ms(text, zone, SystemClock().now_ms(), option="--since"))


def _verify(trail: _Trail, noted: str | None, *, as_head: bool, as_json: bool) -> None:
    """Print what a look over the chain found, and end with exit code 1 where it does not hold."""
    from proxy.cli.table import printable  # noqa: PLC0415 - keeps --help quick

    found = trail.verification(noted)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif as_head:
        if found["head"] is None:
            raise click.ClickException("There is no entry yet.")
        click.echo(found["head"])
    for fault in found["faults"]:
        click.echo(printable(f"entry {fault['id']}: {fault['text']} ({fault['kind']})"), err=as_json or as_head)
    if found["fault_count"] > len(found["faults"]):
        click.echo(f"... and {found['fault_count'] - len(found['faults'])} more", err=as_json or as_head)
    if not (as_json or as_head):
        faults = "1 fault." if found["fault_count"] == 1 else f"{found['fault_count']} faults."
        whole = "the chain is whole." if found["is_whole"] else faults
        click.echo(f"{found['entries']} entries: {whole}")
    sys.exit(0 if found["is_whole"] else 1)


def _print(entries: list[dict[str, Any]], zone: ZoneInfo) -> None:
    from datetime import datetime  # noqa: PLC0415 - keeps --help quick

    from proxy.cli.moments import shown  # noqa: PLC0415
    from proxy.cli.table import print_table  # noqa: PLC0415

    rows = []
    for entry in entries:
        at_ms = int(datetime.fromisoformat(entry["at"]).timestamp() * 1000)
        by = entry["actor"] if not entry["source"] else f"{entry['actor']} ({entry['source']})"
        change = change_text(entry["before"], entry["after"])
        rows.append((entry["id"], shown(at_ms, zone), by, entry["action"], entry["subject"], change))
    print_table(
        ("id", "time", "by", "action", "subject", "change"), rows, right=frozenset({"id"}), whole=frozenset({"time"})
    )


def change_text(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    """Return what changed, field by field: ``group: g → family; disabled: false → true``."""
    old, new = _flat(before), _flat(after)
    parts = []
    for name in sorted({*old, *new}):
        was, now = old.get(name), new.get(name)
        if was == now:
            continue
        if before is None:
            parts.append(f"{name}: {now}")
        elif after is None:
            parts.append(f"{name}: {was} → -")
        else:
            parts.append(f"{name}: {was or '-'} → {now or '-'}")
    return "; ".join(parts)


def _flat(state: Mapping[str, Any] | None, at: str = "") -> dict[str, str]:
    """Return the fields of a state by their paths, as texts; what is null or empty is left out."""
    found: dict[str, str] = {}
    for name, value in (state or {}).items():
        path = f"{at}.{name}" if at else str(name)
        if isinstance(value, Mapping):
            found.update(_flat(value, path))
        elif value is not None and value != []:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            found[path] = text if len(text) <= _VALUE_CHARS else f"{text[:_VALUE_CHARS]}…"
    return found
