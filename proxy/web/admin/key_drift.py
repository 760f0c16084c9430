"""/admin/v1/reconciliations/keys: what providers have counted for each key of ours, beside the ledger."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from pydantic import BaseModel, Field

from proxy.core.money import pusd_to_usd
from proxy.jobs.reconciliation.key_groups import KeyGroup, key_groups
from proxy.policy.reconciliation.key_comparison import (
    KEY_WINDOWS,
    KeyBooks,
    KeyDrift,
    KeyWindow,
    compare_key,
    window_start,
)
from proxy.policy.reconciliation.key_reason import BY_NAME, KeyPart
from proxy.policy.reconciliation.key_sentence import key_sentence
from proxy.policy.reconciliation.sync_schedule import day_of, start_ms
from proxy.providers.account.accounts import Heard
from proxy.providers.account.source import KeyStatus
from proxy.providers.key import OWN
from proxy.storage.reconciliation import KeyQuestion
from proxy.storage.reports import Reports
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.route import AdminAnswer, AdminQuery, AdminRequest, AdminRoute

_WAIT_S = 5.0
_NOT_YET = "The provider has not answered yet. Ask again in a moment."
_PLACE = {window: n for n, window in enumerate(KEY_WINDOWS)}


class KeyDriftPart(BaseModel):
    """A part of a difference. text: why it may be, as the end of a sentence that begins with the amount."""

    name: str
    amount_usd: str
    amount_pusd: int
    text: str


class KeyDriftEntry(BaseModel):
    """One window of a key: today, this week or this month of UTC, until the provider said what it has counted.

    names: all that the key has here, as provider/key; it is counted once. difference: what the provider has more than
    the ledger; known: the part of it that comparisons of the days have found; left: the rest, of which parts are the
    reasons and unexplained what none explains. upstream: what others bill for keys of ours behind the provider, which
    is in neither; replaced: booked for another key that had a name of this one before, and users: for keys of users'
    own at the same provider, neither of which is compared.
    """

    provider: str
    key: str
    window: KeyWindow
    since_day: str
    names: list[str]
    booked_usd: str
    booked_pusd: int
    billed_usd: str
    billed_pusd: int
    difference_usd: str
    difference_pusd: int
    known_usd: str
    known_pusd: int
    left_usd: str
    left_pusd: int
    parts: list[KeyDriftPart]
    unexplained_usd: str
    unexplained_pusd: int
    upstream_usd: str
    upstream_pusd: int
    upstream_counted_usd: str | None
    upstream_counted_pusd: int | None
    replaced_usd: str
    replaced_pusd: int
    users_usd: str
    users_pusd: int
    heard_at: MomentText | None
    text: str


class KeyDriftFilter(AdminQuery):
    provider: str | None = Field(default=None, description="Only its keys.")
    window: KeyWindow | None = Field(default=None, description="Only this one: day is found quickest.")


class CounterEntry(BaseModel):
    """A key whose count its provider tells, to this key alone. problem: why it was not told; null: it was.

    has_bill: a management key reads the whole bill beside it.
    """

    provider: str
    key: str
    names: list[str]
    has_bill: bool
    heard_at: MomentText | None
    problem: str | None


class CounterFilter(AdminQuery):
    provider: str | None = Field(default=None, description="Only its keys.")


async def _list(request: AdminRequest) -> AdminAnswer:
    query: KeyDriftFilter = request.query
    windows = KEY_WINDOWS if query.window is None else (query.window,)
    groups = key_groups(request.deps.services, query.provider)
    found = await asyncio.gather(*(_of_key(request, group, windows) for group in groups))
    entries = [entry for own in found for entry in own]
    return AdminAnswer(*request.page.of(entries, lambda one: (one["provider"], one["key"], _PLACE[one["window"]])))


async def _list_counters(request: AdminRequest) -> AdminAnswer:
    query: CounterFilter = request.query
    groups = key_groups(request.deps.services, query.provider)
    found = await asyncio.gather(*(_counter(request, group) for group in groups))
    entries = [one for one in found if one is not None]
    return AdminAnswer(*request.page.of(entries, lambda one: (one["provider"], one["key"])))


async def _counter(request: AdminRequest, group: KeyGroup) -> dict[str, Any] | None:
    problem, heard_ms = group.problem, None
    if problem is None:
        heard = await request.deps.services.accounts.key(group.row, group.key, _WAIT_S)
        if heard is None:
            return None
        heard_ms = heard.heard_ms
        problem = _NOT_YET if heard.value is None and heard.problem is None else str(heard.problem or "") or None
    return {
        "provider": group.row.name,
        "key": group.key.name,
        "names": [*group.names],
        "has_bill": group.has_bill,
        "heard_at": moment_text(heard_ms),
        "problem": problem,
    }


async def _of_key(request: AdminRequest, group: KeyGroup, windows: Sequence[KeyWindow]) -> list[dict[str, Any]]:
    services = request.deps.services
    heard = None if group.problem else await services.accounts.key(group.row, group.key, _WAIT_S)
    if heard is None or heard.value is None or heard.heard_ms is None:
        return []
    counted = _counted(heard.value, windows)
    if not counted:
        return []
    today = day_of(heard.heard_ms)
    since_ms = start_ms(min(window_start(window, today) for window in counted))
    question = KeyQuestion(group.names, group.hash, since_ms, heard.heard_ms, OWN)
    books = await request.read_long(_key_books, question)
    came = "" if books.first_ms is None else day_of(books.first_ms).isoformat()
    passed_ms = heard.heard_ms - start_ms(today)
    return [*map(partial(_entry, group, heard), compare_key(counted, books.days, today, came, passed_ms))]


def _key_books(reports: Reports, question: KeyQuestion) -> KeyBooks:
    """Read what the ledger has of a key; of a month it may be long, and another process does it."""
    return reports.key_books(question)


def _counted(status: KeyStatus, wanted: Sequence[KeyWindow]) -> dict[KeyWindow, int]:
    used = status.used
    windows: dict[KeyWindow, int | None] = {"day": used.day_pusd, "week": used.week_pusd, "month": used.month_pusd}
    return {window: pusd for window, pusd in windows.items() if pusd is not None and window in wanted}


def _entry(group: KeyGroup, heard: Heard[KeyStatus], one: KeyDrift) -> dict[str, Any]:
    used = None if heard.value is None else heard.value.byok_used
    counted = None if used is None else {"day": used.day_pusd, "week": used.week_pusd, "month": used.month_pusd}
    amounts = {
        "booked": one.booked_pusd,
        "billed": one.billed_pusd,
        "difference": one.difference_pusd,
        "known": one.known_pusd,
        "left": one.left_pusd,
        "unexplained": one.unexplained_pusd,
        "upstream": one.upstream_pusd,
        "upstream_counted": None if counted is None else counted[one.window],
        "replaced": one.replaced_pusd,
        "users": one.users_pusd,
    }
    return {
        "provider": group.row.name,
        "key": group.key.name,
        "window": one.window,
        "since_day": one.since_day,
        "names": [*group.names],
        **{f"{name}_usd": None if pusd is None else pusd_to_usd(pusd) for name, pusd in amounts.items()},
        **{f"{name}_pusd": pusd for name, pusd in amounts.items()},
        "parts": [*map(_part, one.parts)],
        "heard_at": moment_text(heard.heard_ms),
        "text": key_sentence(one, group.names),
    }


def _part(part: KeyPart) -> dict[str, Any]:
    text = BY_NAME[part.reason].text
    return {
        "name": part.reason,
        "amount_usd": pusd_to_usd(part.amount_pusd),
        "amount_pusd": part.amount_pusd,
        "text": text,
    }


ROUTES = (
    AdminRoute(
        "GET",
        "/reconciliations/keys",
        _list,
        "List what providers have counted for each key, beside the ledger",
        KeyDriftEntry,
        query=KeyDriftFilter,
        is_list=True,
    ),
    AdminRoute(
        "GET",
        "/reconciliations/counters",
        _list_counters,
        "List the keys whose counts can be asked for, and why some were not told",
        CounterEntry,
        query=CounterFilter,
        is_list=True,
    ),
)
