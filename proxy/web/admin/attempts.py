"""/admin/v1/attempts: the calls to providers."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from proxy.core.money import pusd_to_usd
from proxy.storage.meanings import outcome_meaning
from proxy.storage.request_reports import AttemptEntry, AttemptFilter
from proxy.storage.rows import id_number, id_text
from proxy.web.admin.moment import Moment, MomentText, moment_ms, moment_text
from proxy.web.admin.page import cursor_text, invalid_cursor
from proxy.web.admin.route import AdminAnswer, AdminQuery, AdminRequest, AdminRoute

Word = Annotated[str | None, Field(max_length=256)]
_ID_MAX = 1 << 62


class AttemptRecord(BaseModel):
    """A call to a provider. key: its name, never the key. outcome: ok, open, or what went wrong.

    is_byok: an own key was used at the provider behind the provider; upstream_cost: what that one charges, which is in
    the cost where is_byok. key_hash: SHA-256 of the key. endpoint_id, permaslug: as the provider's bill names them.
    null: nobody told.
    """

    request_id: str
    n: int
    started_at: MomentText
    provider: str
    key: str | None
    model: str
    served_model: str | None
    served_by: str | None
    generation_id: str | None
    status: int | None
    outcome: str
    outcome_meaning: str
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost_usd: str | None
    cost_pusd: int | None
    cost_source: str
    ttft_ms: int | None
    duration_ms: int | None
    reserved_usd: str | None
    reserved_pusd: int | None
    is_byok: bool | None
    upstream_cost_usd: str | None
    upstream_cost_pusd: int | None
    key_hash: str | None
    endpoint_id: str | None
    permaslug: str | None


class AttemptQuery(AdminQuery):
    """Which attempts, all of what is given; times are of their begin, [since, until)."""

    request: str | None = Field(
        default=None, pattern=r"^req_[0-9a-f]{16}$", description="A request's id: req_ and 16 hex digits."
    )
    provider: Word = None
    key: Word = Field(default=None, description="The name of a key.")
    model: Word = Field(default=None, description="Asked for; a pattern such as openai/*.")
    outcome: Word = Field(default=None, description="ok, open, or a code such as upstream_error.")
    since: Moment | None = None
    until: Moment | None = None


def attempt_json(entry: AttemptEntry) -> dict[str, Any]:
    """Return an attempt as the fields of AttemptRecord."""
    told = entry._asdict()
    told["request_id"] = id_text(entry.request_id)
    told["started_at"] = moment_text(told.pop("started_ms"))
    told["is_byok"] = None if entry.is_byok is None else bool(entry.is_byok)
    for name in ("cost", "reserved", "upstream_cost"):
        pusd = told[f"{name}_pusd"]
        told[f"{name}_usd"] = None if pusd is None else pusd_to_usd(pusd)
    return {**told, "outcome_meaning": outcome_meaning(entry.outcome)}


async def _list(request: AdminRequest) -> AdminAnswer:
    query: AttemptQuery = request.query
    wanted = AttemptFilter(
        request_id=None if query.request is None else min(id_number(query.request) or 0, _ID_MAX),
        provider=query.provider,
        key=query.key,
        model=query.model,
        outcome=query.outcome,
        since_ms=moment_ms(query.since),
        until_ms=moment_ms(query.until),
    )
    page = await request.read(request.deps.services.reports.attempts, wanted, _before(request), request.page.limit)
    cursor = None if page.before is None else cursor_text(page.before)
    return AdminAnswer(await request.written(attempt_json, page.entries), cursor)


def _before(request: AdminRequest) -> tuple[int, int] | None:
    match request.page.after:
        case None:
            return None
        case (int(request_id), int(n)) if max(abs(request_id), abs(n)) < 1 << 62:
            return request_id, n
        case _:
            raise invalid_cursor()


ROUTES = (
    AdminRoute(
        "GET",
        "/attempts",
        _list,
        "List calls to providers, newest first; a page may hold fewer than limit and still lead on",
        AttemptRecord,
        query=AttemptQuery,
        is_list=True,
    ),
)
