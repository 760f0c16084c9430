"""A request of the operator's API as the access log writes it: one line."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from proxy.cli.logs import TextFormatter
from proxy.pipeline.access_log import REFUSED, REQUEST, Line

_SHOWN = (
    *("request_id", "user", "group", "endpoint", "model", "served_model", "provider", "status", "streamed"),
    *("input_tokens", "output_tokens", "cost_usd", "cost_source", "state", "duration_ms", "ttft_ms", "attempts"),
    *("finish_reason", "error", "flags"),
)


def request_lines(records: Iterable[Mapping[str, Any]], *, colours: bool) -> Iterator[str]:
    """Yield a line for each request."""
    return TextFormatter(colours=colours).lines(map(_line, records))


def _line(record: Mapping[str, Any]) -> Line:
    head = {"ts": _ms(record["finished_at"] or record["started_at"]), "level": "info"}
    if record["state"] == "refused":
        more = f"and {record['more']} more alike" if record["more"] else None
        return {**head, "event": REFUSED, **_refused(record), "more": more}
    fields = {
        **record,
        "request_id": record["id"],
        "model": record["requested_model"],
        "served_model": record["model"],
        "status": record["status"] if record["status"] is not None else record["state"],
        "attempts": record["attempt_count"],
        "flags": " ".join(record["flags"]) or None,
    }
    return {**head, "event": REQUEST, **{name: fields[name] for name in _SHOWN}}


def _refused(record: Mapping[str, Any]) -> Line:
    endpoint = record["endpoint"]
    return {
        "request_id": record["id"],
        "user": record["user"],
        "path": f"/{endpoint}" if endpoint.startswith("admin/") else f"/v1/{endpoint}",
        "model": record["requested_model"],
        "status": record["status"],
        "error": record["error"],
        "param": record["param"],
        "address": record["address"],
        "duration_ms": record["duration_ms"],
        "reason": record["reason"],
    }


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
