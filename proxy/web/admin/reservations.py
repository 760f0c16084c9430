"""/admin/v1/reservations: what is set aside for requests that have not ended, by request."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from proxy.core.money import pusd_to_usd
from proxy.storage.rows import UnfinishedRequest, id_text
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.route import AdminAnswer, AdminQuery, AdminRequest, AdminRoute


class ReservationEntry(BaseModel):
    """A request that is open, or pending: its cost is being looked up. What it holds counts in every limit of it."""

    request_id: str
    state: Literal["open", "pending"]
    user: str
    group: str | None
    use_case: str | None
    model: str = Field(description="The model that was asked for.")
    started_at: MomentText
    age_s: int
    held_usd: str
    held_pusd: int
    tokens: int | None
    running: bool = Field(description="It is being answered now by this proxy.")


class ReservationFilter(AdminQuery):
    """Which reservations."""

    user: str | None = None
    group: str | None = None
    state: Literal["open", "pending"] | None = None


async def _list(request: AdminRequest) -> AdminAnswer:
    query: ReservationFilter = request.query
    services = request.deps.services
    running = services.in_flight.ids()
    rows = [
        _entry(row, request.now_ms, is_running=row.id in running)
        for row in await request.read(services.reports.unfinished)
        if query.user in (None, row.user) and query.group in (None, row.group_name) and query.state in (None, row.state)
    ]
    return AdminAnswer(*request.page.of(rows, lambda row: (row["started_at"], row["request_id"])))


def _entry(row: UnfinishedRequest, now_ms: int, *, is_running: bool) -> dict[str, Any]:
    return {
        "request_id": id_text(row.id),
        "state": row.state,
        "user": row.user,
        "group": row.group_name,
        "use_case": row.use_case,
        "model": row.requested_model,
        "started_at": moment_text(row.started_ms),
        "age_s": max(0, now_ms - row.started_ms) // 1000,
        "held_usd": pusd_to_usd(row.held_pusd),
        "held_pusd": row.held_pusd,
        "tokens": row.reserved_tokens,
        "running": is_running,
    }


ROUTES = (
    AdminRoute(
        "GET",
        "/reservations",
        _list,
        "List what is set aside for requests that have not ended, oldest first",
        ReservationEntry,
        query=ReservationFilter,
        is_list=True,
    ),
)
