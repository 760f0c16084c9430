"""/admin/v1/adjustments: costs that became known after a request had ended, and what people know of them."""

from typing import Any

from msgspec.structs import asdict
from pydantic import BaseModel, Field

from proxy.core.money import MoneyError, pusd_to_usd, usd_to_pusd
from proxy.storage.adjustment import TEXT_MAX, AdjustmentFilter, AdjustmentRow, Booked, Correction, How
from proxy.storage.rows import id_number, id_text
from proxy.storage.users import MissingError, UserError
from proxy.web.admin.attempts import Word
from proxy.web.admin.moment import Moment, MomentText, moment_ms, moment_text
from proxy.web.admin.page import cursor_text, invalid_cursor
from proxy.web.admin.route import AdminAnswer, AdminBody, AdminQuery, AdminRequest, AdminRoute

_ID = r"^req_[0-9a-f]{16}$"
_ID_MAX = 1 << 62
_MOST_PUSD = 10**17  # more is a slip of the hand; a few of $9000000 make a sum that no column holds


class AdjustmentEntry(BaseModel):
    """A cost that became known late. amount: what was added to what was booked; below 0: taken away.

    request_id null: it belongs to no request, and reference says which it is; user is "". day, started_at: of the
    request. attempt, charged_provider, charged_key: whose figure it was, where that is known.
    """

    id: int
    request_id: str | None
    reference: str | None
    day: str
    started_at: MomentText
    booked_at: MomentText
    user: str
    group: str | None
    provider: str | None
    model: str | None
    use_case: str | None
    attempt: int | None
    charged_provider: str | None
    charged_key: str | None
    booked_usd: str
    booked_pusd: int
    amount_usd: str
    amount_pusd: int
    actual_usd: str
    actual_pusd: int
    reason: str
    source: str


class AdjustmentQuery(AdminQuery):
    """Which adjustments, all of what is given; times are of when they were booked, [since, until)."""

    request: str | None = Field(default=None, pattern=_ID, description="A request's id: req_ and 16 hex digits.")
    user: Word = None
    provider: Word = None
    key: Word = Field(default=None, description="The name of the provider's key that was charged.")
    model: Word = None
    source: Word = Field(default=None, description="Who said so, such as generation.")
    day: str | None = Field(default=None, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", description="Of the requests.")
    unattached: bool | None = Field(default=None, description="Only what belongs to no request, or only the rest.")
    since: Moment | None = None
    until: Moment | None = None


class ActualCost(AdminBody):
    """What a request cost after all, over all of its attempts: a bill says so. The same again changes nothing."""

    request_id: str = Field(pattern=_ID)
    actual_usd: str = Field(max_length=64, description="US dollars as decimal text.")
    reason: str = Field(min_length=1, max_length=TEXT_MAX)


class BookedCost(BaseModel):
    """What came of it. how: adjusted, settled (it waited for its cost), or unchanged (that was booked already)."""

    request_id: str
    how: How
    adjustment_id: int | None
    booked_usd: str
    booked_pusd: int
    amount_usd: str
    amount_pusd: int
    actual_usd: str
    actual_pusd: int


class LookupResult(BaseModel):
    """What became of attempts that were charged in full. told: booked. waiting: asked for again later."""

    told: int
    waiting: int
    given_up: int


def adjustment_json(row: AdjustmentRow) -> dict[str, Any]:
    """Return an adjustment as the fields of AdjustmentEntry."""
    told = asdict(row)
    told["request_id"] = None if row.request_id is None else id_text(row.request_id)
    told["started_at"], told["booked_at"] = moment_text(told.pop("at_ms")), moment_text(told.pop("ts_ms"))
    for name in ("group", "provider", "model", "use_case"):
        told[name] = told[name] or None
    return {**told, **_amounts(row.booked_pusd, row.amount_pusd)}


def _amounts(booked_pusd: int, amount_pusd: int) -> dict[str, Any]:
    amounts = {"booked": booked_pusd, "amount": amount_pusd, "actual": booked_pusd + amount_pusd}
    return {
        **{f"{name}_usd": f"{'-' if pusd < 0 else ''}{pusd_to_usd(abs(pusd))}" for name, pusd in amounts.items()},
        **{f"{name}_pusd": pusd for name, pusd in amounts.items()},
    }


async def _list(request: AdminRequest) -> AdminAnswer:
    query: AdjustmentQuery = request.query
    wanted = AdjustmentFilter(
        request_id=None if query.request is None else min(id_number(query.request) or 0, _ID_MAX),
        user=query.user,
        provider=query.provider,
        key=query.key,
        model=query.model,
        source=query.source,
        day=query.day,
        is_unattached=query.unattached,
        since_ms=moment_ms(query.since),
        until_ms=moment_ms(query.until),
    )
    limit = request.page.limit
    rows = await request.read(request.deps.services.reports.adjustments, wanted, _before(request), limit + 1)
    cursor = cursor_text((rows[limit - 1].id,)) if len(rows) > limit else None
    return AdminAnswer(await request.written(adjustment_json, rows[:limit]), cursor)


def _before(request: AdminRequest) -> int | None:
    match request.page.after:
        case None:
            return None
        case (int(id_),) if abs(id_) < _ID_MAX:
            return id_
        case _:
            raise invalid_cursor()


async def _book(request: AdminRequest) -> AdminAnswer:
    body: ActualCost = request.body
    try:
        actual_pusd, _ = usd_to_pusd(body.actual_usd)
    except MoneyError as error:
        raise UserError(f"actual_usd: {error}. Write US dollars as decimal text, such as 0.0125.") from None
    if actual_pusd > _MOST_PUSD:
        most = f"No request costs more than ${pusd_to_usd(_MOST_PUSD)}"
        raise UserError(f"actual_usd: {most}: nothing was booked. Write US dollars, such as 0.0125.")
    number = min(id_number(body.request_id) or 0, _ID_MAX)
    correction = Correction(number, actual_pusd, body.reason, request.actor.name)
    (booked,) = await request.deps.late.correct((correction,), request.actor)
    return AdminAnswer(_booked_json(body.request_id, booked))


def _booked_json(id_: str, booked: Booked) -> dict[str, Any]:
    if booked.how == "missing":
        raise MissingError(f"There is no request {id_}: its row is gone, or it never was. See: tollkeeper requests")
    if booked.how == "open":
        raise UserError(f"{id_} is still running, so nothing was booked. What it costs is settled when it ends.")
    if booked.how in ("pending", "refused"):
        raise UserError(f"{id_} could not be booked ({booked.how}). See: tollkeeper audit")
    amounts = _amounts(booked.booked_pusd, booked.amount_pusd)
    return {"request_id": id_, "how": booked.how, "adjustment_id": booked.adjustment_id, **amounts}


async def _look_up(request: AdminRequest) -> AdminAnswer:
    return AdminAnswer(asdict(await request.deps.lookups.ask()))


ROUTES = (
    AdminRoute(
        "GET",
        "/adjustments",
        _list,
        "List costs that became known late, the last booked first",
        AdjustmentEntry,
        query=AdjustmentQuery,
        is_list=True,
    ),
    AdminRoute(
        "POST", "/adjustments", _book, "Book what a request cost after all, as a bill says", BookedCost, body=ActualCost
    ),
    AdminRoute(
        "POST",
        "/adjustments/look_up",
        _look_up,
        "Ask providers now what they charged for what was charged in full",
        LookupResult,
    ),
)
