"""/admin/v1/reconciliations: the ledger beside the provider's bill; POST /account/sync compares a day now."""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from proxy.core.errors import CallerError
from proxy.core.money import pusd_to_usd
from proxy.policy.reconciliation.drift_class import BY_NAME, UNKNOWN
from proxy.policy.reconciliation.drift_sentence import drift_sentence
from proxy.policy.reconciliation.sync_schedule import KEPT_DAYS, day_of, start_ms
from proxy.providers.account.source import AccountError
from proxy.storage.reconciliation import ComparedDay, StoredEntry
from proxy.storage.rows import id_text
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.page import cursor_text, invalid_cursor
from proxy.web.admin.route import AdminAnswer, AdminBody, AdminQuery, AdminRequest, AdminRoute

_FIRST, _LAST = "0000-01-01", "9999-12-31"
_ORDER = {name: n for n, name in enumerate(BY_NAME)}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _day(value: str) -> str:
    if not _DAY.fullmatch(value):
        raise ValueError("write a day such as 2026-11-29")
    date.fromisoformat(value)
    return value


DayText = Annotated[str, AfterValidator(_day), Field(description="A day of UTC, such as 2026-11-29.")]


class DriftSum(BaseModel):
    """All differences of a class. is_lasting: ledger and bill are both right. adjusted: what was booked of it since."""

    name: str
    meaning: str
    is_lasting: bool
    amount_usd: str
    amount_pusd: int
    number: int
    adjusted_usd: str
    adjusted_pusd: int
    adjusted: int


class ReconciliationEntry(BaseModel):
    """One day of one provider. difference: what the bill has more than the ledger; the classes add up to it.

    stays: the part of it where both are right; drift: the rest, which is to be booked or explained, 0 once it is;
    unexplained: the part of the drift that nothing explains. level: calls where it was compared call by call, models
    where by sums, keys where by what each key had counted, history for a day before the first request.
    """

    provider: str
    day: str
    level: str
    booked_usd: str
    booked_pusd: int
    billed_usd: str
    billed_pusd: int
    difference_usd: str
    difference_pusd: int
    stays_usd: str
    stays_pusd: int
    drift_usd: str
    drift_pusd: int
    unexplained_usd: str
    unexplained_pusd: int
    calls: int
    is_final: bool
    problem: str | None
    compared_at: MomentText | None
    classes: list[DriftSum]


class ReconciliationFilter(AdminQuery):
    since: DayText = _FIRST
    until: DayText = Field(default=_LAST, description="The last day of UTC, such as 2026-11-30.")
    provider: str | None = None


class DriftRow(BaseModel):
    """One difference. text: what it is, in words. actual: what it is to be booked at; null: nothing is to be booked."""

    provider: str
    day: str
    name: str
    amount_usd: str
    amount_pusd: int
    request: str | None
    generation_id: str | None
    key: str | None
    model: str
    hour_at: MomentText | None
    booked_usd: str
    booked_pusd: int
    billed_usd: str
    billed_pusd: int
    actual_usd: str | None
    actual_pusd: int | None
    text: str


class DriftRowFilter(AdminQuery):
    since: DayText = _FIRST
    until: DayText = Field(default=_LAST, description="The last day of UTC, such as 2026-11-30.")
    name: str | None = Field(default=None, description="Only one class.")


class BillSource(BaseModel):
    """A provider whose bill can be read. level: calls, or models where it tells sums alone, of days that are over.

    keys: no management key reads the bill, and today is compared by what each key has counted. problem: why the last
    try to read it failed; null: it did not.
    """

    provider: str
    level: Literal["calls", "models", "keys"]
    problem: str | None


class SyncBody(AdminBody):
    day: DayText
    provider: str | None = Field(default=None, description="Only this one; all whose bill can be read otherwise.")


class SyncProblem(BaseModel):
    """Why the bill of a provider could not be read; nothing was written then."""

    provider: str
    problem: str


class SyncReport(BaseModel):
    """What one day came to, for each provider whose bill could be read."""

    days: list[ReconciliationEntry]
    problems: list[SyncProblem]


def _money(name: str, pusd: int) -> dict[str, Any]:
    return {f"{name}_usd": pusd_to_usd(pusd), f"{name}_pusd": pusd}


def _shown(one: ComparedDay) -> dict[str, Any]:
    amounts = {each.drift_class: each.amount_pusd for each in one.classes}
    classes = sorted(
        (each for each in one.classes if each.drift_class in BY_NAME), key=lambda each: _ORDER[each.drift_class]
    )
    is_compared = one.level != "history"
    lasting_pusd = sum(pusd for name, pusd in amounts.items() if BY_NAME[name].is_lasting)
    difference_pusd = one.billed_pusd - one.booked_pusd if is_compared else 0
    return {
        "provider": one.provider,
        "day": one.day,
        "level": one.level,
        **_money("booked", one.booked_pusd),
        **_money("billed", one.billed_pusd),
        **_money("difference", difference_pusd),
        **_money("stays", lasting_pusd),
        **_money("drift", difference_pusd - lasting_pusd),
        **_money("unexplained", amounts.get(UNKNOWN, 0)),
        "calls": one.calls,
        "is_final": one.is_final,
        "problem": one.problem,
        "compared_at": moment_text(one.compared_ms),
        "classes": [
            {
                "name": each.drift_class,
                "meaning": BY_NAME[each.drift_class].meaning,
                "is_lasting": BY_NAME[each.drift_class].is_lasting,
                **_money("amount", each.amount_pusd),
                "number": each.number,
                **_money("adjusted", each.adjusted_pusd),
                "adjusted": each.adjusted,
            }
            for each in classes
        ],
    }


def _row(one: StoredEntry, keys: Mapping[str, str]) -> dict[str, Any]:
    entry = one.entry
    request = None if entry.request_id is None else id_text(entry.request_id)
    key = keys.get(entry.key_hash)
    actual = entry.actual_pusd
    return {
        "provider": one.provider,
        "day": one.day,
        "name": entry.drift_class,
        **_money("amount", entry.amount_pusd),
        "request": request,
        "generation_id": entry.generation_id,
        "key": key,
        "model": entry.model,
        "hour_at": moment_text(entry.hour_ms),
        **_money("booked", entry.booked_pusd),
        **_money("billed", entry.billed_pusd),
        "actual_usd": None if actual is None else pusd_to_usd(actual),
        "actual_pusd": actual,
        "text": drift_sentence(entry, request, key),
    }


async def _list(request: AdminRequest) -> AdminAnswer:
    query: ReconciliationFilter = request.query
    reports = request.deps.services.reports
    found = await request.read(reports.compared_days, query.since, query.until, query.provider)
    return AdminAnswer(*request.page.of([*map(_shown, found)], lambda one: (one["day"], one["provider"])))


async def _list_rows(request: AdminRequest) -> AdminAnswer:
    query: DriftRowFilter = request.query
    if query.name is not None and query.name not in BY_NAME:
        raise CallerError(400, "invalid_query", f"name: one of {', '.join(BY_NAME)}.", param="name")
    page, reports = request.page, request.deps.services.reports
    after = None
    if page.after is not None:
        day, provider, n = page.after
        if not (isinstance(day, str) and isinstance(provider, str) and isinstance(n, int)):
            raise invalid_cursor()
        after = (day, provider, n)
    found = await request.read(reports.drift_entries, query.since, query.until, query.name, after, page.limit + 1)
    shown, keys = found[: page.limit], await _key_names(request, {one.provider for one in found})
    last = shown[-1] if len(found) > page.limit else None
    cursor = None if last is None else cursor_text((last.day, last.provider, last.n))
    return AdminAnswer(await request.written(partial(_row, keys=keys), shown), cursor)


async def _key_names(request: AdminRequest, providers: Iterable[str]) -> dict[str, str]:
    """Return the names of the keys of providers by their hash."""
    reports = request.deps.services.reports
    found: dict[str, str] = {}
    for provider in providers:
        found |= await request.read(reports.key_names, provider)
    return found


async def _list_sources(request: AdminRequest) -> AdminAnswer:
    sync = request.deps.sync
    found: list[dict[str, Any]] = [
        {"provider": name, "level": sync.level(name), "problem": sync.problems.get(name)} for name in sync.providers()
    ]
    found += [
        {"provider": name, "level": "keys", "problem": sync.counts.problems.get(name)}
        for name in sync.counts.providers()
    ]
    return AdminAnswer(*request.page.of(found, lambda one: (str(one["provider"]),)))


async def _sync(request: AdminRequest) -> AdminAnswer:
    body: SyncBody = request.body
    sync, day = request.deps.sync, date.fromisoformat(body.day)
    known, there = sync.providers(), request.deps.services.live.current.providers
    if body.provider is not None and body.provider not in there:
        text = f"provider: there is no provider {body.provider!r}. There are: {', '.join(there)}."
        raise CallerError(422, "invalid_field", text, param="provider")
    wanted = known if body.provider is None else [name for name in known if name == body.provider]
    if not wanted:
        which = "any provider" if body.provider is None else body.provider
        text = f"The bill of {which} cannot be read: it takes a management key. Set providers.<name>.management_key."
        raise CallerError(409, "no_management_key", text, param="provider")
    today = day_of(request.now_ms)
    if not 0 <= (today - day).days <= KEPT_DAYS:
        text = f"day: a provider tells of the last {KEPT_DAYS} days, and of today; {body.day} is not one of them."
        raise CallerError(422, "invalid_field", text, param="day")
    if request.deps.clock_problem() is not None or start_ms(day) > request.now_ms:
        text = f"Nothing is compared while it is unknown which day it is: {request.deps.clock_problem()}."
        raise CallerError(409, "clock_in_doubt", text)
    days, problems = [], []
    for name in sync.providers(day):
        if name not in wanted:
            continue
        try:
            days.append(_shown(await sync.sync(name, day)))
        except AccountError as error:
            problems.append({"provider": name, "problem": str(error)})
    return AdminAnswer({"days": days, "problems": problems})


ROUTES = (
    AdminRoute(
        "GET",
        "/reconciliations",
        _list,
        "List days of the ledger beside the provider's bill, by day",
        ReconciliationEntry,
        query=ReconciliationFilter,
        is_list=True,
    ),
    AdminRoute(
        "GET",
        "/reconciliations/rows",
        _list_rows,
        "List differences one by one, the largest of each class of a day",
        DriftRow,
        query=DriftRowFilter,
        is_list=True,
    ),
    AdminRoute(
        "GET",
        "/reconciliations/sources",
        _list_sources,
        "List the providers whose bill can be read, and why the last try failed",
        BillSource,
        is_list=True,
    ),
    AdminRoute("POST", "/account/sync", _sync, "Compare a day with the provider's bill now", SyncReport, body=SyncBody),
)
