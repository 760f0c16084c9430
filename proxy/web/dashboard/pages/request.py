"""One request: what was asked, each attempt on a time line, what it cost, and why it came so."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from proxy.web.dashboard.charts.figure import Chart
from proxy.web.dashboard.charts.timeline import Phase, PhaseSpan, TimelineRow, timeline
from proxy.web.dashboard.figures import duration_text, read_at
from proxy.web.dashboard.pages.requests import answer_state
from proxy.web.dashboard.view import DashboardRequest, Page, View

_GENERATIONS: Final = "https://openrouter.ai/activity?generation="


async def _show(request: DashboardRequest) -> Page:
    path = f"/requests/{quote(request.path['id'], safe='')}"
    entry = await request.api.get(path)
    why = await request.api.get(f"{path}/explanation")
    chart = Chart("attempts", "Attempts", f"Milliseconds since the request came; {len(entry['attempts'])} attempts.")
    rows = [_row(entry, attempt) for attempt in entry["attempts"]]
    values = {
        "entry": entry,
        "why": why["text"],
        "state": answer_state(entry),
        "chart": timeline(chart, rows, duration_text),
        "generation_link": _generation_link(entry),
    }
    return Page("request.html", values, title=f"Request {entry['id']}")


def _row(entry: Mapping[str, Any], attempt: Mapping[str, Any]) -> TimelineRow:
    """Return an attempt on the time line; one that runs still has no end yet, and so no length."""
    start_ms = max(0, round((read_at(attempt["started_at"]) - read_at(entry["started_at"])).total_seconds() * 1000))
    duration_ms, first_ms = attempt["duration_ms"] or 0, attempt["ttft_ms"]
    spans = [] if start_ms == 0 else [PhaseSpan(Phase.WAITING, 0, start_ms)]
    if first_ms is None:
        spans.append(PhaseSpan(Phase.OPENING, start_ms, start_ms + duration_ms))
    else:
        spans.append(PhaseSpan(Phase.OPENING, start_ms, start_ms + min(first_ms, duration_ms)))
        spans.append(PhaseSpan(Phase.STREAMING, start_ms + min(first_ms, duration_ms), start_ms + duration_ms))
    return TimelineRow(
        f"{attempt['provider']}/{attempt['model']}",
        attempt["outcome_meaning"] if attempt["outcome"] != "ok" else "answered",
        spans,
        is_failed=attempt["outcome"] not in ("ok", "open"),
    )


def _generation_link(entry: Mapping[str, Any]) -> str | None:
    """Return OpenRouter's page of the generation; only theirs are known."""
    generation = entry["generation_id"]
    if not generation or not str(generation).startswith("gen-"):
        return None
    return _GENERATIONS + quote(str(generation), safe="")


VIEWS = (View("GET", "/dashboard/requests/{id}", _show, "Request"),)
