"""POST /analytics/query over the books: what was charged, by up to two dimensions and a time axis. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from msgspec import Struct, field

from proxy.core.money import pusd_to_usd
from proxy.simulator.books import Generation

_ROWS_DEFAULT: Final = 1000
_DIMENSIONS_MAX: Final = 2
_FINE_DAYS: Final = 31  # how far back single generations are told
_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})")
_AXES: Final[Mapping[str, str]] = {
    "minute": "%Y-%m-%dT%H:%M:00.000Z",
    "hour": "%Y-%m-%dT%H:00:00.000Z",
    "day": "%Y-%m-%d",
    "month": "%Y-%m-01",
}
_METRICS: Final[Mapping[str, Callable[[Generation], int]]] = {
    "total_usage": lambda one: one.charged_pusd - one.upstream_pusd,
    "request_count": lambda _: 1,
    "tokens_total": lambda one: one.prompt_tokens + one.completion_tokens,
    "tokens_prompt": lambda one: one.prompt_tokens,
    "tokens_completion": lambda one: one.completion_tokens,
    "reasoning_tokens": lambda one: one.reasoning_tokens,
}
_MONEY: Final = frozenset({"total_usage"})
_FIELDS: Final[Mapping[str, Callable[[Generation], str]]] = {
    "generation_id": lambda one: one.id,
    "model": lambda one: one.model,
    "provider": lambda one: one.provider,
    "api_key_id": lambda one: one.key_sha256,
    "user": lambda one: one.user or "",
}


class AnalyticsQueryError(ValueError):
    """A query that OpenRouter refuses with 400; the text says which part."""


class _Query(Struct, frozen=True):
    metrics: list[str]
    dimensions: list[str]
    start: float
    end: float
    filters: list[tuple[str, bool, frozenset[str]]] = field(default_factory=list)  # field, is it wanted, values
    granularity: str | None = None
    rows_max: int = _ROWS_DEFAULT


def answer(
    body: Any, generations: Iterable[Generation], key_names: Mapping[str, str], now: int, rows_max: int | None
) -> dict[str, Any]:
    """Return what was charged; keys come back by their names. rows_max: never more rows. Raises AnalyticsQueryError."""
    query = _read(body, now)
    sums: dict[tuple[str, ...], list[int]] = {}
    for one in generations:
        if not (one.finished and query.start <= one.billed_s < query.end and _passes(one, query)):
            continue
        values = sums.setdefault(_place(one, query), [0] * len(query.metrics))
        for at, metric in enumerate(query.metrics):
            values[at] += _METRICS[metric](one)
    most = query.rows_max if rows_max is None else min(rows_max, query.rows_max)
    shown = sorted(sums.items())[:most]
    axis = [] if query.granularity is None else [f"date__{query.granularity}"]
    names = [*axis, *query.dimensions]
    rows = [_row(names, place, query.metrics, values, key_names) for place, values in shown]
    metadata = {"query_time_ms": 1, "row_count": len(rows), "truncated": len(shown) < len(sums)}
    return {"data": {"data": rows, "metadata": metadata}}


def _row(
    names: list[str], place: tuple[str, ...], metrics: list[str], values: list[int], key_names: Mapping[str, str]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        name: key_names.get(text, text) if name == "api_key_id" else text
        for name, text in zip(names, place, strict=True)
    }
    for metric, value in zip(metrics, values, strict=True):  # counts come as strings, as they do from OpenRouter
        row[metric] = orjson.Fragment(pusd_to_usd(value).encode()) if metric in _MONEY else str(value)
    return row


def _place(one: Generation, query: _Query) -> tuple[str, ...]:
    found = [_FIELDS[name](one) for name in query.dimensions]
    if query.granularity is not None:
        found.insert(0, _axis(one.billed_s, query.granularity))
    return tuple(found)


def _axis(created: int, granularity: str) -> str:
    when = datetime.fromtimestamp(created, UTC)
    if granularity == "week":
        return (when - timedelta(days=when.weekday())).strftime("%Y-%m-%d")
    return when.strftime(_AXES[granularity])


def _passes(one: Generation, query: _Query) -> bool:
    return all((_FIELDS[name](one) in values) is wanted for name, wanted, values in query.filters)


def _read(body: Any, now: int) -> _Query:
    if not isinstance(body, dict):
        raise AnalyticsQueryError("the body must be a JSON object")
    metrics = _names(body, "metrics", _METRICS)
    if not metrics:
        raise AnalyticsQueryError("metrics: at least one is required")
    dimensions = _names(body, "dimensions", _FIELDS)
    if len(dimensions) > _DIMENSIONS_MAX:
        raise AnalyticsQueryError("dimensions: at most 2")
    granularity = body.get("granularity")
    if granularity is not None and granularity != "week" and granularity not in _AXES:
        raise AnalyticsQueryError(f"granularity: unknown {granularity!r}")
    times = body.get("time_range") or {}
    start = _instant(times.get("start"), now - 7 * 86_400)
    end = _instant(times.get("end"), now + 1)
    if end <= start:
        raise AnalyticsQueryError("time_range: end must be after start")
    if "generation_id" in dimensions and start < now - _FINE_DAYS * 86_400:
        raise AnalyticsQueryError(f"generation_id: only for the last {_FINE_DAYS} days")
    rows_max = body.get("limit", _ROWS_DEFAULT)
    if type(rows_max) is not int or rows_max < 1:
        raise AnalyticsQueryError("limit: a whole number of at least 1 is required")
    filters = [_filter(each) for each in body.get("filters") or []]
    return _Query(metrics, dimensions, start, end, filters, granularity, rows_max)


def _names(body: Mapping[str, Any], name: str, known: Mapping[str, Any]) -> list[str]:
    found = body.get(name) or []
    if not isinstance(found, list) or any(not isinstance(each, str) or each not in known for each in found):
        raise AnalyticsQueryError(f"{name}: a list of {', '.join(known)} is required")
    return found


def _filter(each: Any) -> tuple[str, bool, frozenset[str]]:
    parts = each if isinstance(each, dict) else {}
    name, operator, value = parts.get("field"), parts.get("operator"), parts.get("value")
    if not isinstance(name, str) or name not in _FIELDS or operator not in {"eq", "neq", "in", "not_in"}:
        raise AnalyticsQueryError("filters: field and operator (eq, neq, in, not_in) are required")
    values = value if isinstance(value, list) else [value]
    return name, operator in {"eq", "in"}, frozenset(map(str, values))


def _instant(text: Any, default: float) -> float:
    if text is None:
        return default
    if not isinstance(text, str) or not _INSTANT.fullmatch(text):
        raise AnalyticsQueryError("time_range: ISO 8601 with seconds is required")
    return datetime.fromisoformat(text).timestamp()
