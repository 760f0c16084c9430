"""/admin/v1/alerts/states and deliveries: what rules came to, and what of it reached whom."""

from typing import Any, Literal

from pydantic import BaseModel

from proxy.storage.alerts import StoredDelivery, no_delivery
from proxy.web.admin.alert_words import alert_rows, alerts_of
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.page import cursor_text, invalid_cursor
from proxy.web.admin.route import AdminAnswer, AdminQuery, AdminRequest, AdminRoute


class AlertStateEntry(BaseModel):
    """One subject of a rule at the last look: its value in the unit of the rule, and whether it fires."""

    rule: str
    subject: str
    value: float | None
    unit: str
    detail: str
    is_firing: bool
    since_at: MomentText | None
    last_fired_at: MomentText | None
    looked_at: MomentText | None


class AlertStateFilter(AdminQuery):
    rule: str | None = None
    firing: bool = False


class AlertDelivery(BaseModel):
    """One alert on its way to a destination. alert: the same over all attempts; problem: of the last one."""

    id: int
    alert: str
    rule: str
    told: str
    subject: str
    title: str
    destination: str
    state: Literal["waiting", "delivered", "failed"]
    attempts: int
    made_at: MomentText
    next_at: MomentText | None
    ended_at: MomentText | None
    status: int | None
    problem: str | None


class AlertDeliveryFilter(AdminQuery):
    state: Literal["waiting", "delivered", "failed"] | None = None


async def _list_states(request: AdminRequest) -> AdminAnswer:
    query: AlertStateFilter = request.query
    watch, rows, rules = request.deps.alerts, await alert_rows(request), alerts_of(request).rules
    found: list[dict[str, Any]] = []
    for place in {**watch.measured, **rows.states}:
        rule, reading, state = rules.get(place[0]), watch.measured.get(place), rows.states.get(place)
        is_firing = state is not None and state.level > 0
        if rule is None or (query.rule not in (None, place[0])) or (query.firing and not is_firing):
            continue
        found.append(
            {
                "rule": place[0],
                "subject": place[1],
                "value": None if reading is None else reading.value,
                "unit": rule.kind.unit,
                "detail": "" if reading is None else reading.detail,
                "is_firing": is_firing,
                "since_at": moment_text(state.since_ms) if state is not None else None,
                "last_fired_at": moment_text(state.fired_ms) if state is not None else None,
                "looked_at": moment_text(watch.looked_ms),
            }
        )
    return AdminAnswer(*request.page.of(found, lambda one: (one["rule"], one["subject"])))


def _delivery(one: StoredDelivery) -> dict[str, Any]:
    message = one.message
    return {
        "id": one.id,
        "alert": one.alert_id,
        "rule": message.rule,
        "told": message.told,
        "subject": message.subject,
        "title": message.title,
        "destination": one.destination,
        "state": one.state,
        "attempts": one.attempts,
        "made_at": moment_text(one.made_ms),
        "next_at": moment_text(one.next_ms) if one.state == "waiting" else None,
        "ended_at": moment_text(one.ended_ms),
        "status": one.status,
        "problem": one.problem,
    }


async def _list_deliveries(request: AdminRequest) -> AdminAnswer:
    query: AlertDeliveryFilter = request.query
    page = request.page
    before = None if page.after is None else page.after[0]
    if isinstance(before, str):
        raise invalid_cursor()
    reports = request.deps.services.reports
    found = await request.read(reports.alert_deliveries, query.state, before, page.limit + 1)
    shown = [_delivery(one) for one in found[: page.limit]]
    return AdminAnswer(shown, cursor_text((found[page.limit - 1].id,)) if len(found) > page.limit else None)


async def _retry(request: AdminRequest) -> AdminAnswer:
    id_ = _number(request.path["id"])
    await request.change("alert_deliveries.retry", {"id": id_})
    request.deps.outbox.wake()
    found = await request.read(request.deps.services.reports.alert_deliveries, None, id_ + 1, 1)
    return AdminAnswer(_delivery(found[0]))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise no_delivery(0)
    return int(text)


ROUTES = (
    AdminRoute(
        "GET",
        "/alerts/states",
        _list_states,
        "List what rules came to at the last look",
        AlertStateEntry,
        query=AlertStateFilter,
        is_list=True,
    ),
    AdminRoute(
        "GET",
        "/alerts/deliveries",
        _list_deliveries,
        "List deliveries, the newest first",
        AlertDelivery,
        query=AlertDeliveryFilter,
        is_list=True,
    ),
    AdminRoute("POST", "/alerts/deliveries/{id}/retry", _retry, "Send again what was given up", AlertDelivery),
)
