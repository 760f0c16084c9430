"""tollkeeper show: one request, with its attempts on a time line."""

import json
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import click

from proxy.cli.reading_settings import reading_settings
from proxy.cli.settings import config_option

_LABEL = 12
_BAR_MAX = 40


@click.command()
@click.argument("request_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def show(request_id: str, *, as_json: bool, config_path: Path | None) -> None:
    """Show a request by its id (req_...) or a generation's (gen-...): who, what, attempts, tokens, cost."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    settings = reading_settings(config_path)
    with admin_client(settings, f"tollkeeper show {request_id}") as api:
        found = api.get(f"/requests/{quote(request_id, safe='')}")
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for line in _lines(found, ZoneInfo(settings.timezone)):
        click.echo(line)


def _lines(found: dict[str, Any], zone: ZoneInfo) -> Iterator[str]:
    from proxy.cli.moments import local  # noqa: PLC0415 - keeps --help quick

    group = f" (group {found['group']})" if found["group"] else ""
    model = f"{found['requested_model'] or '-'} ({found['endpoint']}{', streamed' if found['streamed'] else ''})"
    started = local(found["started_at"], zone)
    yield from _field("request", found["id"])
    yield from _field("time", f"{started:%Y-%m-%d %H:%M:%S} {started.tzname()}")
    yield from _field("user", f"{found['user'] or 'unknown'}{group}")
    yield from _field("token", found["token_id"])
    yield from _field("address", found["address"])
    yield from _field("asked for", model)
    yield from _field("use case", found["use_case"])
    yield from _field("session", found["session_id"])
    yield from _field("tags", None if not found["tags"] else json.dumps(found["tags"]))
    yield from _field("status", _status(found))
    yield from _field("told", found["reason"])
    yield from _field("answered", _answered(found))
    yield from _field("generation", found["generation_id"])
    yield from _field("took", _took(found))
    yield from _field("tokens", _tokens(found))
    yield from _field("reserved", None if found["reserved_usd"] is None else f"${found['reserved_usd']}")
    yield from _field("cost", _cost(found))
    for one in found["adjustments"]:
        yield from _field("adjusted", _adjusted(one, zone))
    for flag, meaning in zip(found["flags"], found["flag_meanings"], strict=True):
        yield from _field("flag", f"{flag}: {meaning}")
    if found["limit"] is not None:
        yield from _field("limit", _limit(found["limit"]))
    if found["attempts"]:
        yield from _attempts(found)


def _field(name: str, text: str | None) -> Iterator[str]:
    """Yield a name and its text, wrapped beside it; nothing where there is none."""
    from proxy.cli.table import printable  # noqa: PLC0415 - keeps --help quick

    if text is None:
        return
    width = max(shutil.get_terminal_size().columns, 40)
    indent = " " * _LABEL
    wrapped = click.wrap_text(printable(text), width - 1, f"{name:<{_LABEL}}", indent)
    yield from wrapped.splitlines()


def _status(found: dict[str, Any]) -> str:
    error = f" {found['error']}" if found["error"] else ""
    more = f", one of {found['more'] + 1} alike" if found["more"] else ""
    return f"{found['status'] or ''}{error} ({found['state']}{more})".strip()


def _answered(found: dict[str, Any]) -> str | None:
    return None if found["provider"] is None else f"{found['model'] or '-'} at {found['provider']}"


def _took(found: dict[str, Any]) -> str | None:
    if found["duration_ms"] is None:
        return None
    first = "" if found["ttft_ms"] is None else f", first content after {_seconds(found['ttft_ms'])}"
    return f"{_seconds(found['duration_ms'])}{first}"


def _tokens(found: dict[str, Any]) -> str | None:
    if found["input_tokens"] is None and found["output_tokens"] is None:
        return None
    cached = f" ({found['cached_tokens']:,} cached)" if found["cached_tokens"] else ""
    thought = f" ({found['reasoning_tokens']:,} reasoning)" if found["reasoning_tokens"] else ""
    return f"{found['input_tokens'] or 0:,} in{cached}, {found['output_tokens'] or 0:,} out{thought}"


def _cost(found: dict[str, Any]) -> str:
    if found["state"] == "refused":
        return "nothing: it was not sent"
    if found["cost_usd"] is None:
        return "not known yet" if found["state"] in ("open", "pending") else "not known"
    if found["adjustments"]:
        first_usd = found["adjustments"][0]["booked_usd"]
        return f"${found['cost_usd']}; first booked at ${first_usd}, {found['cost_source_meaning']}"
    return f"${found['cost_usd']}, {found['cost_source_meaning']}"


def _adjusted(one: dict[str, Any], zone: ZoneInfo) -> str:
    from proxy.cli.moments import local  # noqa: PLC0415 - keeps --help quick

    booked = f"{local(one['booked_at'], zone):%Y-%m-%d %H:%M}"
    return f"{booked}: from ${one['booked_usd']} to ${one['actual_usd']}, {one['reason']} ({one['source']})"


def _limit(limit: dict[str, Any]) -> str:
    sign = "$" if "limit_pusd" in limit else ""
    window = f" per {limit['window']}" if limit["window"] not in (None, "total") else ""
    models = f" on {', '.join(limit['models'])}" if limit["models"] else ""
    figures = ", ".join(f"{name} {sign}{limit[name]}" for name in ("used", "reserved", "needed", "remaining"))
    resets = f", resets {limit['resets_at']}" if limit["resets_at"] else ""
    fits = f", max_tokens {limit['affordable_max_tokens']} would fit" if limit["affordable_max_tokens"] else ""
    name = f"{limit['mode']}, {limit['kind']} {sign}{limit['limit']}{window} of {limit['scope']}{models}"
    return f"{name}: {figures}{resets}{fits}"


def _attempts(found: dict[str, Any]) -> Iterator[str]:
    from proxy.cli.timeline import Span, bars  # noqa: PLC0415 - keeps --help quick

    width = min(_BAR_MAX, max(shutil.get_terminal_size().columns - _LABEL, 10))
    spans, marks = [], _marks()
    for one in found["attempts"]:
        start_ms = _ms_between(found["started_at"], one["started_at"])
        first_ms = None if one["ttft_ms"] is None else start_ms + one["ttft_ms"]
        spans.append(Span(start_ms, first_ms, start_ms + (one["duration_ms"] or 0)))
    yield ""
    for one, bar in zip(found["attempts"], bars(spans, width, marks), strict=True):
        yield from _field(f"attempt {one['n']}", _attempt(one))
        yield from _field("price now", _price(one))
        yield f"{'':<{_LABEL}}{bar}".rstrip()
    yield f"{'':<{_LABEL}}{marks[0]} until the first content  {marks[1]} content"


def _marks() -> tuple[str, str]:
    from proxy.cli.timeline import LETTERS, SHADES  # noqa: PLC0415 - keeps --help quick

    try:
        "".join(SHADES).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return LETTERS
    return SHADES


def _attempt(one: dict[str, Any]) -> str:
    served = f" by {one['served_by']}" if one["served_by"] else ""
    key = f", key {one['key']}" if one["key"] else ""
    status = "" if one["status"] is None else f" (status {one['status']})"
    took = "" if one["duration_ms"] is None else f" after {_seconds(one['duration_ms'])}"
    cost = "cost not known" if one["cost_usd"] is None else f"${one['cost_usd']}"
    return (
        f"{one['model']} at {one['provider']}{served}{key}: {one['outcome_meaning']}{status}{took}; {cost}{_own(one)}"
    )


def _own(one: dict[str, Any]) -> str:
    """Return what an own key there costs besides; empty where none was used."""
    if not one["is_byok"]:
        return ""
    amount = "" if one["upstream_cost_usd"] is None else f", ${one['upstream_cost_usd']} of it on its own bill"
    return f" (an own key at {one['served_by'] or 'the provider behind'}{amount})"


def _price(one: dict[str, Any]) -> str | None:
    if one["input_price_usd"] is None or one["input_tokens"] is None or one["output_tokens"] is None:
        return None
    return (
        f"{one['input_tokens']:,} in at ${one['input_price_usd']} a million, {one['output_tokens']:,} out at"
        f" ${one['output_price_usd']}"
    )


def _ms_between(start: str, end: str) -> int:
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() * 1000)


def _seconds(ms: int) -> str:
    return f"{ms} ms" if ms < 1000 else f"{ms / 1000:.2f} s"
