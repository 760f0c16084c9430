"""tollkeeper status: how the proxy is doing, on one screen."""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from proxy.cli.reading_settings import reading_settings
from proxy.cli.settings import config_option
from proxy.cli.stop_selector import effect_text

_EVERY_S = 2.0
_LABEL = 15
_STOPPED = {"stop": "Stopped", "slow": "Slowed", "downgrade": "Downgraded"}
_LOOKS_MAX = 10  # things to look at: --json, and the operator's API, have them all
_CLEAR = "\x1b[H\x1b[2J"  # ECMA-48: the cursor home, then the whole screen


@click.command()
@click.option("--watch", is_flag=True, help="Draw it anew every two seconds, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch a line each time.")
@config_option
def status(*, watch: bool, as_json: bool, config_path: Path | None) -> None:
    """Show what needs a look, providers, keys, spending, limits nearly spent, open requests, refusals, and the disk."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    settings = reading_settings(config_path)
    zone = ZoneInfo(settings.timezone)
    try:
        with admin_client(settings, "tollkeeper status") as api:
            while True:
                found = {**api.get("/status"), "attention": list(api.pages("/attention"))}
                if watch and found["started_at"] is None:
                    raise click.ClickException("No proxy runs, so there is nothing to watch.")
                if as_json:
                    click.echo(json.dumps(found, indent=None if watch else 2))
                else:
                    lines = "\n".join(_lines(found, zone))
                    click.echo(f"{_CLEAR}{lines}" if watch and sys.stdout.isatty() else lines)
                if not watch:
                    return
                time.sleep(_EVERY_S)
    except KeyboardInterrupt:
        click.echo(err=True)  # the terminal has written ^C


def _lines(found: dict[str, Any], zone: ZoneInfo) -> Iterator[str]:
    yield from _field("Tollkeeper", f"{found['version']}, {_running(found, zone)}")
    yield from _field("Configuration", found["config_problem"] or "in force")
    yield from _field("Clock", found["clock_problem"])
    for name, problem in found["jobs"].items():
        yield from _field("Job", f"{name} does not run: {problem}")
    yield from _field("Ledger", _ledger(found["ledger"]))
    yield from _field("Problem", found["ledger"]["problem"])
    for row in found["unreadable"]:
        yield from _field("Unreadable", f"{row['kind']} {row['name']}: {row['problem']}; see {row['command']}")
    for stop in found["stops"]:
        yield from _field(_STOPPED[stop["effect"]], _stop(stop, zone))
    yield from _field(
        "Now",
        f"{_count(found['open_requests'], 'request')} open, {_count(found['holds'], 'hold')},"
        f" {found['pending']} waiting for the provider's figure",
    )
    yield from _field("Today", _spent(found["today"]))
    yield from _field("This month", _spent(found["this_month"]))
    looks = found["attention"]
    if looks:
        more = f"… and {_count(len(looks) - _LOOKS_MAX, 'more thing')}: tollkeeper status --json"
        shown = [*map(_look, looks[:_LOOKS_MAX]), *([more] if len(looks) > _LOOKS_MAX else [])]
        yield from _section("Needs a look", shown, "")
    if found["alerts"]:
        alerts = [_alert(alert, zone) for alert in found["alerts"]]
        yield from _section("Alerts", alerts, "")
    yield from _section("Limits", [_limit(limit, zone) for limit in found["limits"]], _no_limits(found))
    yield from _section("Providers", [_provider(*one) for one in found["providers"].items()], "none")
    refusals = [f"{one['count']:>6,}  {one['status']} {one['error']}" for one in found["refusals"]]
    yield from _section("Refused in the last hour", refusals, "none")


def _field(name: str, text: str | None) -> Iterator[str]:
    from proxy.cli.table import printable  # noqa: PLC0415 - keeps --help quick

    if text is not None:
        width = max(shutil.get_terminal_size().columns, 40)
        yield from click.wrap_text(printable(text), width - 1, f"{name:<{_LABEL}}", " " * _LABEL).splitlines()


def _section(title: str, lines: list[str], nothing: str) -> Iterator[str]:
    from proxy.cli.table import printable  # noqa: PLC0415 - keeps --help quick

    yield ""
    yield title
    width = max(shutil.get_terminal_size().columns, 40)
    for line in lines or [nothing]:
        yield from click.wrap_text(printable(line), width - 1, "  ", " " * 6).splitlines()


def _running(found: dict[str, Any], zone: ZoneInfo) -> str:
    from proxy.cli.moments import local  # noqa: PLC0415 - keeps --help quick
    from proxy.pipeline.admission.limit_errors import span  # noqa: PLC0415

    if found["started_at"] is None:
        return "no proxy runs: this is what the ledger says"
    stopping = ", stopping" if found["draining"] else ""
    since = local(found["started_at"], zone)
    return f"up {span(found['uptime_s'] * 1000)}, since {since:%Y-%m-%d %H:%M} {since.tzname()}{stopping}"


def _ledger(ledger: dict[str, Any]) -> str:
    total = ledger["disk_total_bytes"]
    free_percent = ledger["disk_free_bytes"] * 100 // total if total else 0
    return (
        f"{ledger['path']}, {_size(ledger['size_bytes'])}; disk {_size(ledger['disk_free_bytes'])} free"
        f" ({free_percent} %)"
    )


def _look(entry: dict[str, Any]) -> str:
    """Return one thing with what to do; this very command is no advice."""
    action = entry["action"]
    command = f" {action['command']}" if action["command"] not in (None, "tollkeeper status") else ""
    return f"{entry['severity']}: {entry['text']} {action['text']}{command}"


def _alert(alert: dict[str, Any], zone: ZoneInfo) -> str:
    from proxy.cli.moments import local  # noqa: PLC0415 - keeps --help quick

    since = f", since {local(alert['since_at'], zone):%m-%d %H:%M}" if alert["since_at"] else ""
    subject = f": {alert['subject']}" if alert["subject"] else ""
    return f"{alert['rule']}{subject}{since}"


def _stop(stop: dict[str, Any], zone: ZoneInfo) -> str:
    from proxy.cli.moments import local  # noqa: PLC0415 - keeps --help quick

    what = f"{stop['kind']} {stop['subject']}".strip()
    reason = f": {stop['reason']}" if stop["reason"] else ""
    until = f" until {local(stop['ends_at'], zone):%Y-%m-%d %H:%M}" if stop["ends_at"] else ""
    effect = f", {effect_text(stop)}" if stop["effect"] != "stop" else ""
    return f"{what}{effect}, by {stop['actor']}{until}{reason}"


def _spent(sums: dict[str, Any]) -> str:
    errors = f", {_count(sums['errors'], 'error')}" if sums["errors"] else ""
    return f"${sums['cost_usd']}, {_count(sums['requests'], 'request')}{errors}"


def _no_limits(found: dict[str, Any]) -> str:
    return f"{_count(found['limit_count'], 'limit')}, none for everyone together, and none nearly spent"


def _limit(limit: dict[str, Any], zone: ZoneInfo) -> str:
    from proxy.cli.moments import local  # noqa: PLC0415 - keeps --help quick

    sign = "$" if limit["kind"] == "cost" else ""
    what = "" if limit["kind"] == "cost" else f" {limit['kind']}"
    window = f" per {limit['window']}" if limit["window"] not in ("", "total") else ""
    models = f" on {', '.join(limit['models'])}" if limit["models"] else ""
    held = f" and {sign}{limit['reserved']} set aside" if str(limit["reserved"]) != "0" else ""
    resets = ""
    if limit["resets_at"] is not None:
        resets = f"; resets {local(limit['resets_at'], zone):%m-%d %H:%M}"
    return (
        f"{limit['percent_used']:>3} %  {limit['scope']}: {sign}{limit['used']} used{held} of"
        f" {sign}{limit['limit']}{what}{window}{models} ({limit['mode']}){resets}"
    )


def _provider(name: str, view: dict[str, Any]) -> str:
    parts = []
    breaker = view.get("breaker")
    if breaker is not None and breaker["state"] != "closed":
        retry = f", tried again in {breaker['retry_in_s']} s" if breaker["retry_in_s"] is not None else ""
        parts.append(f"breaker {breaker['state']} after {breaker['failures_in_row']} failures{retry}")
    broken = [model for model, one in view.get("models", {}).items() if one["state"] != "closed"]
    if broken:
        parts.append(f"breaker open for {', '.join(broken)}")
    parts += [_key(key) for key in view.get("keys", []) if key["set_aside_until"] or key["valid"] is False]
    if view["models_problem"]:
        parts.append(f"list of models: {view['models_problem']}")
    line = view.get("line")
    if line is not None:
        parts.append(f"{line['running']} running, {line['waiting']} waiting")
    keys = _count(len(view.get("keys", [])), "key")
    return f"{name}: {'; '.join(parts)}" if parts else f"{name}: ready, {keys}, {_count(view['model_count'], 'model')}"


def _key(key: dict[str, Any]) -> str:
    until = f" until {key['set_aside_until']}" if key["set_aside_until"] else ""
    reason = f" ({key['reason']})" if key["reason"] else ""
    return f"key {key['name']} set aside{until}{reason}" if until else f"key {key['name']} refused{reason}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _size(size_bytes: int) -> str:
    size, units = float(size_bytes), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while size >= 1000 and unit != "TB":
        size, unit = size / 1000, next(units)
    return f"{size_bytes} B" if unit == "B" else f"{size:.1f} {unit}"
