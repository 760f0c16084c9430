"""tollkeeper check: is everything there that serving needs? Configuration, provider keys, ledger, clock; no server."""

import asyncio
import json
import logging
import sys
import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

import click
from msgspec import Struct
from msgspec.structs import asdict

from proxy.cli.settings import config_option, loader
from proxy.core.errors import ConfigError, LedgerError, SetupError

if TYPE_CHECKING:
    from proxy.config.load import LoadedConfig
    from proxy.config.schema import Provider, Settings
    from proxy.providers.provider import ProviderRow
    from proxy.storage.reports import LedgerCheck

_SKEW_WARN_S = 5  # a Date header has whole seconds and travels for some tenths of one
_SKEW_FAIL_S = 300  # budgets of a day would reset minutes off; TLS certificates soon fail too
_TIMEOUT_S = 10.0
_BODY_MAX_BYTES = 1 << 20
_MARKS = {"ok": "green", "warn": "yellow", "fail": "red"}


class Line(Struct, frozen=True):
    """One finding. fix says what to do, "" for nothing; exit_code is that of a failure of this kind."""

    name: str
    state: Literal["ok", "warn", "fail"]
    text: str
    fix: str = ""
    exit_code: int = 1


@click.command()
@config_option
@click.option("--offline", is_flag=True, help="Ask no provider.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(config_path: Path | None, *, offline: bool, as_json: bool) -> None:
    """Check configuration, provider keys, ledger and clock without serving.

    Each line is ok, warn or fail, with what to do.

    Exit codes: 0 ready to serve, 2 configuration error, 4 ledger error, 1 anything else.
    """
    lines = list(_lines(config_path, offline=offline))
    if as_json:
        shown = [{key: value for key, value in asdict(line).items() if key != "exit_code"} for line in lines]
        click.echo(json.dumps(shown, indent=2))
    else:
        for line in lines:
            _print(line)
    failed = [line.exit_code for line in lines if line.state == "fail"]
    sys.exit(next((code for code in (ConfigError.exit_code, LedgerError.exit_code) if code in failed), bool(failed)))


def _print(line: Line) -> None:
    mark = click.style(f"{line.state:5}", fg=_MARKS[line.state])  # echo strips colours when not on a terminal
    first, *more = line.text.splitlines() or [""]
    click.echo(f"{mark} {line.name:12} {first}")
    for text in [*more, *([line.fix] if line.fix else [])]:
        click.echo(f"{'':19}{text}")


def _lines(config_path: Path | None, *, offline: bool) -> Iterable[Line]:
    try:
        loaded = loader(config_path, {})()
    except SetupError as error:
        yield Line("config", "fail", str(error), exit_code=error.exit_code)
        return
    yield from _config(loaded)
    yield from _ledger(loaded.settings)
    yield from _gaps(loaded.settings)
    yield from _stored(loaded.settings)
    if offline:
        yield Line("providers", "ok", "not asked (--offline)")
    else:
        yield from asyncio.run(_providers(_in_force(loaded.settings)))


# --- configuration


def _config(loaded: "LoadedConfig") -> Iterable[Line]:
    settings = loaded.settings
    where = str(loaded.path) if loaded.path is not None else "no file; defaults and environment"
    yield Line(
        "config",
        "ok",
        f"{where}: {_count(len(settings.providers), 'provider')}, {_count(len(settings.presets), 'preset')}",
    )
    for warning in loaded.warnings:
        yield Line("config", "warn", warning)
    yield from _rates(settings)
    yield from _presets(settings)


def _rates(settings: "Settings") -> Iterable[Line]:
    """Yield why the file of rates cannot be read, where it cannot."""
    from proxy.storage.labels import labels_of  # noqa: PLC0415 - keeps --help quick

    problem = labels_of(settings).problem
    if problem is not None:
        fix = "Reports show no such currency, or go on with its last rate, until the file is there"
        yield Line("currency", "warn", f"currency.ecb_file: {problem}", fix)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _presets(settings: "Settings") -> Iterable[Line]:
    """Build the presets: a schema that cannot be used shows only then."""
    from proxy.pipeline.routing.presets import preset_rows  # noqa: PLC0415 - keeps --help quick

    try:
        preset_rows(settings)
    except ConfigError as error:
        yield Line("presets", "fail", str(error), exit_code=error.exit_code)
        return
    yield from _prices(settings)


def _prices(settings: "Settings") -> Iterable[Line]:
    """Yield the targets that no user under a hard cost limit is sent to."""
    from proxy.cli.check_prices import has_hard_cost, unpriced_targets  # noqa: PLC0415 - as above

    if not has_hard_cost(_in_force(settings)):
        return
    for name, lacking, has_more in unpriced_targets(settings):
        what = "left out of it" if has_more else "all it has, so that the preset is refused,"
        text = f"presets.{name}: {', '.join(lacking)}: no price, and therefore {what} under a hard limit on cost"
        yield Line("presets", "warn", text, "Give a price under providers.NAME.prices, or make the limit soft")


def _in_force(settings: "Settings") -> "Settings":
    """Return the settings with what the database lays over them, where it can be read."""
    from proxy.cli.stored_rows import database_rows  # noqa: PLC0415 - keeps --help quick
    from proxy.config.overlay import lay_over  # noqa: PLC0415

    try:
        return lay_over(settings, database_rows(settings).settings).settings
    except LedgerError:  # reported already
        return settings


def _gaps(settings: "Settings") -> Iterable[Line]:
    """Yield whom no limit covers, and which limits cover nobody."""
    from proxy.cli.stored_rows import database_rows  # noqa: PLC0415 - keeps --help quick
    from proxy.config.overlay import lay_over  # noqa: PLC0415
    from proxy.pipeline.admission.missing_limits import find_missing_limits  # noqa: PLC0415

    try:
        rows = database_rows(settings)
    except LedgerError:  # reported already
        return
    for gap in find_missing_limits(lay_over(settings, rows.settings), rows.users, rows.tokens):
        yield Line("limits" if gap.kind == "limits.missing" else "users", "warn", gap.text, gap.fix)


def _stored(settings: "Settings") -> Iterable[Line]:
    """Yield the rows and keys of the database that cannot be used."""
    from proxy.cli.stored_rows import database_rows  # noqa: PLC0415 - keeps --help quick
    from proxy.config.overlay import unreadable_rows  # noqa: PLC0415

    try:
        rows = database_rows(settings)
    except LedgerError:  # reported already
        return
    for one in unreadable_rows(settings, rows.settings):
        yield Line("stored", "warn", f"{one.text}. It holds for nobody else.", f"Set it anew, or: {one.command}")
    for row in rows.keys:
        place = f"key {row['name']} of {row['provider']}"
        if row["problem"] is not None:
            fix = "See docs/how-to/sealed.md; or set it anew: tollkeeper keys rotate"
            yield Line("keys", "warn", f"{place} cannot be opened: {row['problem']}", fix)
        elif row["provider"] not in settings.providers:
            fix = f"Add the provider, or: tollkeeper keys remove {row['provider']} {row['name']}"
            yield Line("keys", "warn", f"{place}: the configuration has no such provider", fix)


# --- ledger


def _ledger(settings: "Settings") -> Iterable[Line]:
    from proxy.storage.sqlite.reports import open_reports  # noqa: PLC0415 - keeps --help quick

    path = settings.database
    if not path.exists() or path.stat().st_size == 0:
        yield _new_ledger(path)
        return
    if path.is_file() and path.stat().st_mode & 0o077 and sys.platform != "win32":
        yield Line("ledger", "warn", f"{path} is open to others on this machine", f"Run: chmod 600 '{path}'")
    try:
        found = open_reports(path).check()
    except LedgerError as error:
        yield _failed(str(error))
        return
    yield _content(found, path)
    yield _owner(settings)


def _failed(text: str, fix: str = "") -> Line:
    return Line("ledger", "fail", text, fix, exit_code=LedgerError.exit_code)


def _new_ledger(path: Path) -> Line:
    import os  # noqa: PLC0415 - keeps --help quick

    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return _failed(f"{path} is not there, and {folder} cannot be written", "Choose another place with database:")
    return Line("ledger", "ok", f"{path} is not there yet; the first start makes it")


def _content(found: "LedgerCheck", path: Path) -> Line:
    if found.problem is not None:
        return _failed(
            f"{path} is damaged: {found.problem}",
            "Keep the file and restore the newest back-up beside it (docs/concepts/ledger.md).",
        )
    unsettled = f", {found.unsettled} not settled yet" if found.unsettled else ""
    return Line("ledger", "ok", f"{path}: {found.requests} requests{unsettled}")


def _owner(settings: "Settings") -> Line:
    """Return whether a process has the ledger. Never creates the lock file: it would be the caller's."""
    from proxy.storage.sqlite.lock import OwnerLock  # noqa: PLC0415 - keeps --help quick

    lock = OwnerLock(settings.database)
    if not lock.path.exists():
        return Line("owner", "ok", "ledger not in use")
    try:
        lock.acquire("tollkeeper check")
    except LedgerError as error:
        text = str(error)
        if " is in use by " not in text:
            return Line("owner", "fail", text, exit_code=LedgerError.exit_code)
        return Line("owner", "ok", text.partition(". One process")[0])
    lock.release()
    return Line("owner", "ok", "ledger not in use")


# --- providers


async def _providers(settings: "Settings") -> list[Line]:
    from proxy.providers.build import build_providers  # noqa: PLC0415 - brings aiohttp

    every = build_providers(settings, {})
    rows = {name: row for name, row in every.items() if settings.providers[name].enabled}
    found = [[Line(name, "ok", "disabled, and not asked")] for name in every if name not in rows]
    try:
        found += await asyncio.gather(
            *(_provider(row, settings.providers[name], first=n == 0) for n, (name, row) in enumerate(rows.items()))
        )
        names = await _names(settings, every)
    finally:
        for row in every.values():
            await row.transport.close()
    return [line for lines in (*found, names) for line in lines]


async def _names(settings: "Settings", rows: "Mapping[str, ProviderRow]") -> list[Line]:
    """Compare the models that the configuration names with the providers' lists, which are fetched and not kept."""
    from proxy.cli.names import unknown_names  # noqa: PLC0415 - keeps --help quick
    from proxy.core.clock import SystemClock  # noqa: PLC0415
    from proxy.providers.model_lists import ModelLists  # noqa: PLC0415

    with TemporaryDirectory(prefix="tollkeeper-") as folder:
        model_lists = ModelLists(Path(folder), "check", SystemClock())
        logging.getLogger("tollkeeper.catalogue").setLevel(logging.CRITICAL)  # reported as a line below
        asked = [row for name, row in rows.items() if settings.providers[name].enabled]
        await asyncio.gather(*(model_lists.refresh(row) for row in asked))
    return [
        Line("models", "fail" if name.is_all else "warn", name.text, name.fix)
        for name in unknown_names(settings, rows, model_lists)
    ]


async def _provider(row: "ProviderRow", settings: "Provider", *, first: bool) -> list[Line]:
    """Ask for what shows whether the key is good. Only the first provider, which serves most models, can fail."""
    from proxy.providers.transport.base import TransportError  # noqa: PLC0415 - as above

    bad: Literal["warn", "fail"] = "fail" if first else "warn"
    dialect = row.dialect
    path = dialect.key_path or dialect.list_paths[0]
    if dialect.key_path is not None and row.keys[0].secret is None:
        return [
            Line(
                row.name,
                bad,
                "no key is configured",
                f"Set providers.{row.name}.api_key or api_key_file, or: tollkeeper keys add {row.name}",
            )
        ]
    try:
        status, date, body = await _get(row, path)
    except TransportError as error:
        fix = "Check base_url and the network; serve starts anyway"
        return [*_way(row), Line(row.name, bad, f"{row.base_url}: {error}", fix)]
    lines = [*_way(row), _answered(row, status, body, bad)]
    if dialect.key_path is None and status == 200:
        lines += _flaws(row.name, body)
    if date is not None:
        lines += _clock(row.name, date, time.time(), remote=settings.base_url.startswith("https:"))
    return lines


def _way(row: "ProviderRow") -> list[Line]:
    proxy = row.network.proxy
    return [] if proxy is None else [Line(row.name, "ok", f"is reached by the proxy {proxy.url}")]


def _flaws(name: str, body: bytes) -> list[Line]:
    """Return what is unusable in a list of models; nothing for a list without flaws."""
    from proxy.policy.model_list import ModelListError, flaws_text, read_model_list  # noqa: PLC0415 - as above

    try:
        flaws = read_model_list(json.loads(body)).flaws
    except ModelListError as error:
        return [Line(name, "warn", str(error), "Its models can be asked for all the same, if you know their names.")]
    except ValueError:
        return [Line(name, "warn", "its list of models is not JSON", "Should base_url end in /v1?")]
    fix = "The others are in force; tell whoever runs the server."
    return [Line(name, "warn", f"its list of models has flaws: {flaws_text(flaws)}", fix)] if flaws else []


async def _get(row: "ProviderRow", path: str) -> tuple[int, str | None, bytes]:
    from proxy.providers.deadlines import Deadlines  # noqa: PLC0415 - as above

    headers = {"Accept": "application/json", "Accept-Encoding": "identity", **row.extra_headers, **row.auth_headers()}
    deadlines = Deadlines(min(row.deadlines.connect_s, _TIMEOUT_S), _TIMEOUT_S, _TIMEOUT_S, 2 * _TIMEOUT_S)
    answer = await row.transport.send("GET", row.url(path), headers, None, deadlines)
    body = b""
    while piece := await answer.read():
        body += piece
        if len(body) > _BODY_MAX_BYTES:
            answer.abort()
            break
    return answer.status, answer.header("date"), body


def _answered(row: "ProviderRow", status: int, body: bytes, bad: Literal["warn", "fail"]) -> Line:
    if status == 200:
        return Line(
            row.name,
            "ok",
            f"{row.base_url} accepts the key{row.dialect.describe_key(body)}"
            if row.keys[0].secret
            else f"{row.base_url} answers",
        )
    if status in (401, 403):
        where = row.dialect.key_page or "its operator"
        return Line(
            row.name,
            "fail",
            f"{row.base_url} refuses the key ({status})",
            f"Put a valid one into providers.{row.name}.api_key; see {where}",
        )
    if status == 404 and row.dialect.key_path is None:
        return Line(
            row.name, "warn", f"{row.base_url}{row.dialect.list_paths[0]} does not exist", "Should base_url end in /v1?"
        )
    return Line(row.name, bad, f"{row.base_url} answered {status}", "Try again; if it stays, check base_url")


def _clock(name: str, date: str, now_s: float, *, remote: bool) -> list[Line]:
    try:
        ahead_s = round(now_s - parsedate_to_datetime(date).timestamp())
    except ValueError:
        return []
    if abs(ahead_s) <= _SKEW_WARN_S:
        return [Line("clock", "ok", f"agrees with {name}")] if remote else []
    side = "ahead of" if ahead_s > 0 else "behind"
    return [
        Line(
            "clock",
            "fail" if abs(ahead_s) >= _SKEW_FAIL_S else "warn",
            f"This machine's clock is {abs(ahead_s)} s {side} {name}'s Date header",
            "Budgets reset by this clock. Fix NTP.",
        )
    ]
