"""/admin/v1/refusals: how many requests were refused, by what and whom. Single ones are in /admin/v1/requests."""

from pydantic import BaseModel, Field

from proxy.storage.refusals import REFUSAL_WORDS, RefusalSelection
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.period import PeriodFilter, invalid_query
from proxy.web.admin.route import AdminAnswer, AdminRequest, AdminRoute


class RefusalGroup(BaseModel):
    """Refused requests that are alike. key: a value for each word of by; empty text where a request has none."""

    key: dict[str, str]
    requests: int


class RefusalReport(BaseModel):
    """Refused requests, times in order, then the most frequent first. kept_since: how far back any is known."""

    by: list[str]
    since: MomentText | None
    until: MomentText | None
    timezone: str
    kept_since: MomentText | None
    rows: list[RefusalGroup]
    requests: int = Field(description="Of all rows.")


class RefusalFilter(PeriodFilter):
    """Which refusals, and by what they are counted."""

    by: str = Field(default="status,error", description=f"Words of {', '.join(REFUSAL_WORDS)}, with commas between.")
    user: str | None = None
    error: str | None = Field(default=None, description="A code of docs/reference/errors.md.")


async def _show(request: AdminRequest) -> AdminAnswer:
    query: RefusalFilter = request.query
    reports, zone = request.deps.services.reports, request.deps.services.live.current.zone
    words = _words(query.by)
    since_ms, until_ms = query.bounds_ms(zone, request.now_ms)
    wanted = RefusalSelection(words, since_ms, until_ms, query.user, query.error)
    found = await request.read(reports.refusal_sums, wanted, zone)
    kept = await request.read(reports.kept_since)
    return AdminAnswer(
        {
            "by": words,
            "since": moment_text(since_ms),
            "until": moment_text(until_ms),
            "timezone": zone.key,
            "kept_since": moment_text(kept.refusals_ms),
            "rows": [{"key": dict(zip(words, one.key, strict=True)), "requests": one.requests} for one in found],
            "requests": sum(one.requests for one in found),
        }
    )


def _words(by: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in by.split(",") if word.strip())
    if not words or len(set(words)) < len(words) or not set(words) <= set(REFUSAL_WORDS):
        raise invalid_query("by", f"write some of {', '.join(REFUSAL_WORDS)}, each once")
    return words


ROUTES = (AdminRoute("GET", "/refusals", _show, "Count what was refused", RefusalReport, query=RefusalFilter),)
