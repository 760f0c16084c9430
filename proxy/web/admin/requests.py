"""/admin/v1/requests: what was asked and what came of it, refused requests too."""

from decimal import Decimal
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, Field

from proxy.core.errors import CallerError
from proxy.core.money import pusd_to_usd, usd_to_pusd
from proxy.core.paced import paced
from proxy.policy.nearest import nearest
from proxy.storage.adjustment import AdjustmentFilter, AdjustmentRow
from proxy.storage.meanings import COST_SOURCES, flag_meaning
from proxy.storage.reports import Reports
from proxy.storage.request_reports import REFUSED, AttemptEntry, KeptSince, RequestEntry, RequestFilter
from proxy.storage.rows import id_number, id_text
from proxy.web.admin.adjustments import AdjustmentEntry, adjustment_json
from proxy.web.admin.attempts import AttemptRecord, Word, attempt_json
from proxy.web.admin.earlier_use import earlier_use
from proxy.web.admin.explanation import explain_request
from proxy.web.admin.json_bytes import json_of_many
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.page import cursor_text, invalid_cursor
from proxy.web.admin.period import PeriodFilter
from proxy.web.admin.route import AdminAnswer, AdminRequest, AdminRoute

_ID = r"^req_[0-9a-f]{16}$"
_ID_MAX = 1 << 62
_LATE_MAX = 50  # adjustments of one request that are shown, the last ones
_ID_BITS = 21  # of an id, below its milliseconds
_ROWS_AT_ONCE = 20  # that are written before the event loop may have its turn
Usd = Annotated[str, Field(description="US dollars as decimal text.")]


class RequestRecord(BaseModel):
    """A request. state refused: nothing was sent, and address, param, fault, reason, limit and more are set.

    limit: the figures of the limit that refused, as in the error. more: how many refusals alike it stands for besides.
    """

    id: str
    started_at: MomentText
    finished_at: MomentText | None
    user: str | None
    group: str | None
    token_id: str | None
    endpoint: str
    requested_model: str | None
    model: str | None
    provider: str | None
    use_case: str | None
    session_id: str | None
    tags: dict[str, Any] | None
    status: int | None
    state: str
    error: str | None
    finish_reason: str | None
    streamed: bool
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    reserved_usd: Usd | None
    reserved_pusd: int | None
    cost_usd: Usd | None
    cost_pusd: int | None
    cost_source: str
    ttft_ms: int | None
    duration_ms: int | None
    attempt_count: int
    generation_id: str | None
    flags: list[str]
    address: str | None
    param: str | None
    fault: str | None
    reason: str | None
    limit: dict[str, Any] | None
    more: int


class PricedAttempt(AttemptRecord):
    """A call to a provider, and what a million tokens of its model cost now, in USD; null: no price is known."""

    input_price_usd: Usd | None
    output_price_usd: Usd | None


class RequestDetail(RequestRecord):
    """A request with its attempts in order, its late costs, and what the words about its cost mean."""

    attempts: list[PricedAttempt]
    adjustments: list[AdjustmentEntry]
    cost_source_meaning: str
    flag_meanings: list[str]


class RequestExplanation(BaseModel):
    """A paragraph about one request."""

    id: str
    text: str


class RequestQuery(PeriodFilter):
    """Which requests, all of what is given; times are of their begin."""

    user: Word = None
    group: Word = None
    token: Word = Field(default=None, description="The id of a token.")
    model: Word = Field(default=None, description="Asked for or answering; a pattern such as openai/*.")
    provider: Word = None
    status: str | None = Field(
        default=None,
        pattern="^([1-5]([0-9]{2}|xx)|ok|error)$",
        description="Such as 429, a class such as 4xx, ok, or error.",
    )
    state: str | None = Field(
        default=None,
        pattern="^(open|pending|settled|released|refused)$",
        description="open, pending, settled, released or refused.",
    )
    error: Word = Field(default=None, description="A code of docs/reference/errors.md.")
    use_case: Word = None
    session: Word = None
    generation: Word = Field(default=None, description="The provider's id of an answer.")
    min_cost_usd: Decimal | None = Field(default=None, ge=0, le=1_000_000, allow_inf_nan=False)
    charged_in_full: bool | None = Field(
        default=None,
        description="true: whose whole reservation is charged, for no id of their answer came; false: all others.",
    )
    endpoint: Word = None
    text: Word = Field(default=None, description="A part of the error's code, or of the text of a refusal.")
    after: str | None = Field(default=None, pattern=_ID, description="Only requests with greater ids.")


def request_json(entry: RequestEntry) -> dict[str, Any]:
    """Return a request as the fields of RequestRecord."""
    return {
        "id": id_text(entry.id),
        "started_at": moment_text(entry.started_ms),
        "finished_at": moment_text(entry.finished_ms),
        "user": entry.user,
        "group": entry.group_name,
        "token_id": entry.token_id,
        "endpoint": entry.endpoint,
        "requested_model": entry.requested_model,
        "model": entry.model,
        "provider": entry.provider,
        "use_case": entry.use_case,
        "session_id": entry.session_id,
        "tags": None if entry.tags is None else orjson.loads(entry.tags),
        "status": entry.status,
        "state": entry.state,
        "error": entry.error,
        "finish_reason": entry.finish_reason,
        "streamed": bool(entry.streamed),
        "input_tokens": entry.input_tokens,
        "output_tokens": entry.output_tokens,
        "cached_tokens": entry.cached_tokens,
        "reasoning_tokens": entry.reasoning_tokens,
        "reserved_usd": None if entry.reserved_pusd is None else pusd_to_usd(entry.reserved_pusd),
        "reserved_pusd": entry.reserved_pusd,
        "cost_usd": None if entry.cost_pusd is None else pusd_to_usd(entry.cost_pusd),
        "cost_pusd": entry.cost_pusd,
        "cost_source": entry.cost_source,
        "ttft_ms": entry.ttft_ms,
        "duration_ms": entry.duration_ms,
        "attempt_count": entry.attempts,
        "generation_id": entry.generation_id,
        "flags": (entry.flags or "").split(),
        "address": entry.address,
        "param": entry.param,
        "fault": entry.fault,
        "reason": entry.reason,
        "limit": None if entry.limit_json is None else orjson.loads(entry.limit_json),
        "more": entry.more,
    }


async def _list(request: AdminRequest) -> AdminAnswer:
    query: RequestQuery = request.query
    await check_user(request, query.user)
    reports = request.deps.services.reports
    bounds = query.bounds_ms(request.deps.services.live.current.zone, request.now_ms)
    wanted = _filter(query, bounds), _before(request), request.page.limit
    return AdminAnswer(*await request.read(_read_page, reports, *wanted))


def _read_page(
    reports: Reports, wanted: RequestFilter, before_id: int | None, count: int
) -> tuple[orjson.Fragment, str | None]:
    """Read a page of requests as JSON, and the cursor of the next; blocks."""
    page = reports.requests(wanted, before_id, count)
    cursor = None if page.before_id is None else cursor_text((page.before_id,))
    return json_of_many(map(request_json, paced(page.entries, _ROWS_AT_ONCE))), cursor


def _before(request: AdminRequest) -> int | None:
    match request.page.after:
        case None:
            return None
        case (int(before_id),) if abs(before_id) < 1 << 63:
            return before_id
        case _:
            raise invalid_cursor()


def _filter(query: RequestQuery, bounds: tuple[int | None, int | None]) -> RequestFilter:
    status_from = status_below = None
    if query.status is not None:
        is_class = query.status.endswith("xx")
        first = int(query.status.replace("x", "0")) if query.status[0].isdigit() else 0
        named = {"ok": (200, 300), "error": (400, 600)}
        status_from, status_below = named.get(query.status, (first, first + (100 if is_class else 1)))
    return RequestFilter(
        user=query.user,
        group=query.group,
        token_id=query.token,
        model=query.model,
        provider=query.provider,
        status_from=status_from,
        status_below=status_below,
        state=query.state,
        error=query.error,
        use_case=query.use_case,
        session_id=query.session,
        cost_min_pusd=None if query.min_cost_usd is None else usd_to_pusd(str(query.min_cost_usd))[0],
        generation_id=query.generation,
        charged_in_full=query.charged_in_full,
        endpoint=query.endpoint,
        text=query.text,
        since_ms=bounds[0],
        until_ms=bounds[1],
        after_id=None if query.after is None else min(id_number(query.after) or 0, _ID_MAX),
    )


async def check_user(request: AdminRequest, name: str | None) -> None:
    """Raise CallerError for a user whom nobody knows: a typing mistake must not look like silence."""
    services = request.deps.services
    users = services.live.current.settings.users
    if name is None or name in users or await request.read(services.reports.has_user, name):
        return
    hint = nearest(name, (*users, *await request.read(services.reports.known_users)))
    did_you = f' Did you mean "{hint}"?' if hint else ""
    raise CallerError(
        400,
        "invalid_query",
        f'user: there is no user "{name}", and nothing was ever booked for one.{did_you}',
        param="user",
    )


async def _found(request: AdminRequest) -> tuple[RequestEntry, list[AttemptEntry]]:
    id_, reports = request.path["id"], request.deps.services.reports
    found = await request.read(reports.request, id_, request.now_ms)
    if found is None and await request.deps.write_refusals():  # it may be one of the last second
        found = await request.read(reports.request, id_, request.now_ms)
    if found is None:
        raise CallerError(404, "not_found", _missing(id_, await request.read(reports.kept_since)))
    return found[0], list(found[1])


def _missing(id_: str, kept: KeptSince) -> str:
    number = id_number(id_)
    if number is None:
        return (
            f'There is no request "{id_[:60]}". Ids look like req_ and 16 hex digits (header x-request-id, log);'
            " the id of a generation (gen-...) is looked for among requests of its time, or of the last 7 days."
        )
    began_ms, requests, refusals = number >> _ID_BITS, moment_text(kept.requests_ms), moment_text(kept.refusals_ms)
    if requests is None and refusals is None:
        return f"There is no request {id_}: the ledger is empty."
    reach = "The ledger " + " and ".join(
        text
        for text in (
            f"has requests since {requests}" if requests else "has no requests",
            f"refusals since {refusals}" if refusals else "no refusals",
        )
    )
    if began_ms < min(ms for ms in kept if ms is not None):
        return f"There is no request {id_}. {reach}: this one would be older, and has been removed."
    return (
        f"There is no request {id_}. {reach}. What costs nothing is not kept, such as a list of models, or a repetition"
        " that got the answer of the first with its Idempotency-Key; of a flood of refusals only the newest are kept"
        " one by one."
    )


async def _show(request: AdminRequest) -> AdminAnswer:
    entry, attempts = await _found(request)
    return AdminAnswer(
        {
            **request_json(entry),
            "attempts": [{**attempt_json(one), **_prices(request, one)} for one in attempts],
            "adjustments": [adjustment_json(one) for one in await _late(request, entry)],
            "cost_source_meaning": COST_SOURCES.get(entry.cost_source, entry.cost_source),
            "flag_meanings": [flag_meaning(flag) for flag in (entry.flags or "").split()],
        }
    )


async def _late(request: AdminRequest, entry: RequestEntry) -> list[AdjustmentRow]:
    """Return what the cost of a request turned out to be, in order."""
    wanted = AdjustmentFilter(request_id=entry.id)
    return (await request.read(request.deps.services.reports.adjustments, wanted, None, _LATE_MAX))[::-1]


def _prices(request: AdminRequest, attempt: AttemptEntry) -> dict[str, str | None]:
    services = request.deps.services
    provider = services.live.current.providers.get(attempt.provider)
    price = None if provider is None else services.model_lists.price(provider, attempt.model)
    if price is None:
        return {"input_price_usd": None, "output_price_usd": None}
    # in 1e-18 USD a token, which is 1e-12 USD for a million
    return {"input_price_usd": pusd_to_usd(price.input_ausd), "output_price_usd": pusd_to_usd(price.output_ausd)}


async def _explain(request: AdminRequest) -> AdminAnswer:
    entry, attempts = await _found(request)
    earlier = [] if entry.state == REFUSED else await earlier_use(request, entry)
    late = await _late(request, entry)
    text = explain_request(entry, attempts, earlier, request.deps.services.live.current.zone, late)
    return AdminAnswer({"id": id_text(entry.id), "text": text})


ROUTES = (
    AdminRoute(
        "GET",
        "/requests",
        _list,
        "List requests, refused ones too, newest first; a page may hold fewer than limit and still lead on",
        RequestRecord,
        query=RequestQuery,
        is_list=True,
    ),
    AdminRoute("GET", "/requests/{id}", _show, "Show a request, by its id or a generation's", RequestDetail),
    AdminRoute("GET", "/requests/{id}/explanation", _explain, "Explain a request in one paragraph", RequestExplanation),
)
