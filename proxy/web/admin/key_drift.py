"""/admin/v1/reconciliations/keys: what providers have counted for each key of ours, beside the ledger."""

import asyncio
from typing import Any

from pydantic import BaseModel, Field

from proxy.core.money import pusd_to_usd
from proxy.policy.reconciliation.key_comparison import KEY_WINDOWS, KeyDrift, KeyWindow, compare_key, first_day
from proxy.policy.reconciliation.sync_schedule import day_of, start_ms
from proxy.providers.account.accounts import Heard
from proxy.providers.account.source import KeyStatus
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow
from proxy.storage.reconciliation import KeyQuestion
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.route import AdminAnswer, AdminQuery, AdminRequest, AdminRoute

_WAIT_S = 5.0


class KeyDriftEntry(BaseModel):
    """One window of a key: today, this week or this month of UTC, until the provider said what it has counted.

    difference: what the provider has more than the ledger; known: the part of it that comparisons of the days have
    found; left: the rest.
    """

    provider: str
    key: str
    window: KeyWindow
    since_day: str
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
    heard_at: MomentText | None


class KeyDriftFilter(AdminQuery):
    provider: str | None = Field(default=None, description="Only its keys.")


async def _list(request: AdminRequest) -> AdminAnswer:
    query: KeyDriftFilter = request.query
    rows = request.deps.services.live.current.providers.values()
    keys = [(row, key) for row in rows if query.provider in (None, row.name) for key in row.keys]
    found = await asyncio.gather(*(_of_key(request, row, key) for row, key in keys))
    entries = [entry for own in found for entry in own]
    place = {window: n for n, window in enumerate(KEY_WINDOWS)}
    return AdminAnswer(*request.page.of(entries, lambda one: (one["provider"], one["key"], place[one["window"]])))


async def _of_key(request: AdminRequest, row: ProviderRow, key: Key) -> list[dict[str, Any]]:
    heard = await request.deps.services.accounts.key(row, key, _WAIT_S)
    if heard is None or heard.value is None or heard.heard_ms is None or key.hash is None:
        return []
    counted = _counted(heard.value)
    today = day_of(heard.heard_ms)
    question = KeyQuestion(row.name, key.name, key.hash, start_ms(first_day(today)), heard.heard_ms)
    days = await request.read(request.deps.services.reports.key_days, question) if counted else []
    return [_entry(row.name, key.name, one, heard) for one in compare_key(counted, days, today)]


def _counted(status: KeyStatus) -> dict[KeyWindow, int]:
    used = status.used
    windows: dict[KeyWindow, int | None] = {"day": used.day_pusd, "week": used.week_pusd, "month": used.month_pusd}
    return {window: pusd for window, pusd in windows.items() if pusd is not None}


def _entry(provider: str, key: str, one: KeyDrift, heard: Heard[KeyStatus]) -> dict[str, Any]:
    amounts = {
        "booked": one.booked_pusd,
        "billed": one.billed_pusd,
        "difference": one.difference_pusd,
        "known": one.known_pusd,
        "left": one.left_pusd,
    }
    return {
        "provider": provider,
        "key": key,
        "window": one.window,
        "since_day": one.since_day,
        **{f"{name}_usd": pusd_to_usd(pusd) for name, pusd in amounts.items()},
        **{f"{name}_pusd": pusd for name, pusd in amounts.items()},
        "heard_at": moment_text(heard.heard_ms),
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
)
