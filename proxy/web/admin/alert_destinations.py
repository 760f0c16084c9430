"""/admin/v1/alerts/destinations and tests: where alerts go, and whether they arrive."""

from typing import Any

from pydantic import BaseModel, Field

from proxy.config.alerts import LOG, AlertDestination
from proxy.config.overlay import DATABASE, destination_problem
from proxy.core.errors import CallerError
from proxy.policy.alerts.alert_message import AlertMessage
from proxy.storage.alerts import DESTINATION_SECRETS, AlertNotes, no_destination, no_rule
from proxy.web.admin.alert_words import (
    IN_ITS_WORDS,
    Source,
    alert_rows,
    alerts_of,
    check_stored,
    source_of,
    words_of_block,
)
from proxy.web.admin.route import AdminAnswer, AdminBody, AdminRequest, AdminRoute


class AlertDestinationEntry(BaseModel):
    """A destination without its secrets, whose names are in secrets. problem: why it does not open.

    disabled: why it gets nothing more; a test that reaches it lifts that.
    """

    name: str
    kind: str
    settings: dict[str, Any]
    secrets: list[str]
    source: Source
    problem: str | None
    disabled: str | None


class NewAlertDestination(AdminBody):
    name: str = Field(description="1 to 64 letters, digits, and . _ @ + - only; not log.")
    settings: dict[str, Any] = Field(
        description=f"kind, url, host and so on. {IN_ITS_WORDS} url, secret and password are sealed and shown never.",
        json_schema_extra={"writeOnly": True},
    )


class AlertDestinationChanges(AdminBody):
    """What to change of a destination; what is missing stays, and a setting that is null takes its default."""

    settings: dict[str, Any] = Field(description=IN_ITS_WORDS, json_schema_extra={"writeOnly": True})


class AlertTest(AdminBody):
    """What to try out: one destination, or all of a rule."""

    destination: str | None = None
    rule: str | None = None


class AlertTestResult(BaseModel):
    """What came of one attempt; problem null: it was delivered."""

    destination: str
    delivered: bool
    status: int | None
    problem: str | None


class AlertTestResults(BaseModel):
    results: list[AlertTestResult]


async def _destinations(request: AdminRequest) -> dict[str, dict[str, Any]]:
    """Return all destinations by name, those of the database that do not open among them."""
    disabled = (await alert_rows(request)).disabled
    stored = (await request.read(request.deps.services.reports.directory)).alert_destinations
    found = {
        name: _destination_entry(name, one, source_of(request, "destinations", name), None, disabled.get(name))
        for name, one in alerts_of(request).destinations.items()
    }
    for row in stored:
        if row["name"] not in found:
            found[row["name"]] = {
                "name": row["name"],
                "kind": row["settings"]["kind"],
                "settings": row["settings"],
                "secrets": row["secrets"],
                "source": DATABASE,
                "problem": destination_problem(row),
                "disabled": disabled.get(row["name"]),
            }
    return found


def _destination_entry(
    name: str, one: AlertDestination, source: str, problem: str | None, disabled: str | None
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": one.kind,
        "settings": words_of_block(one),
        "secrets": [column for column in DESTINATION_SECRETS if getattr(one, column) is not None],
        "source": source,
        "problem": problem,
        "disabled": disabled,
    }


async def _list_destinations(request: AdminRequest) -> AdminAnswer:
    found = await _destinations(request)
    return AdminAnswer(*request.page.of([*found.values()], lambda one: (one["name"],)))


async def _found_destination(request: AdminRequest, name: str) -> dict[str, Any]:
    found = await _destinations(request)
    if name not in found:
        raise no_destination(name)
    return found[name]


async def _show_destination(request: AdminRequest) -> AdminAnswer:
    return AdminAnswer(await _found_destination(request, request.path["name"]))


async def _add_destination(request: AdminRequest) -> AdminAnswer:
    body: NewAlertDestination = request.body
    await check_stored(request, "destinations", body.name)
    await request.change("alert_destinations.add", {"name": body.name, "settings": body.settings})
    return AdminAnswer(await _found_destination(request, body.name))


async def _set_destination(request: AdminRequest) -> AdminAnswer:
    body: AlertDestinationChanges = request.body
    name = request.path["name"]
    await check_stored(request, "destinations", name)
    await request.change("alert_destinations.set", {"name": name, "settings": body.settings})
    return AdminAnswer(await _found_destination(request, name))


async def _remove_destination(request: AdminRequest) -> AdminAnswer:
    name = request.path["name"]
    await check_stored(request, "destinations", name)
    found = await _found_destination(request, name)
    for rule, settings in alerts_of(request).rules.items():
        if name in settings.to:
            raise CallerError(
                409, "in_use", f"Destination {name!r} is used by rule {rule!r}. Change or remove the rule first."
            )
    await request.change("alert_destinations.remove", {"name": name})
    return AdminAnswer(found)


async def _test(request: AdminRequest) -> AdminAnswer:
    """Send one alert of its own kind at once; nothing of it is kept, but that a destination takes alerts again."""
    body: AlertTest = request.body
    if (body.destination is None) is (body.rule is None):
        raise CallerError(422, "invalid_field", "Give either destination or rule.", param="destination")
    alerts = alerts_of(request)
    names: tuple[str, ...] = (body.destination or "",)
    if body.rule is not None:
        if body.rule not in alerts.rules:
            raise no_rule(body.rule)
        names = alerts.rules[body.rule].to
    for name in names:
        if name != LOG and name not in alerts.destinations:
            raise no_destination(name)
    line = f"this is a test by {request.actor.name}"
    kind = alerts.rules[body.rule].watch if body.rule is not None else "test"
    message = AlertMessage("test", body.rule or "test", kind, "test", request.now_ms, line)
    results = [await request.deps.outbox.try_out(name, message) for name in names]
    reached = [name for name, result in zip(names, results, strict=True) if result.problem is None]
    disabled = (await alert_rows(request)).disabled
    if lifted := [name for name in reached if name in disabled]:
        await request.deps.services.ledger.note_alerts(AlertNotes(enabled=lifted), request.now_ms)
    shown = [
        {"destination": name, "delivered": one.problem is None, "status": one.status, "problem": one.problem}
        for name, one in zip(names, results, strict=True)
    ]
    return AdminAnswer({"results": shown})


_DESTINATION = "/alerts/destinations/{name}"
ROUTES = (
    AdminRoute(
        "GET", "/alerts/destinations", _list_destinations, "List destinations", AlertDestinationEntry, is_list=True
    ),
    AdminRoute(
        "POST",
        "/alerts/destinations",
        _add_destination,
        "Add a destination; its secrets are sealed",
        AlertDestinationEntry,
        body=NewAlertDestination,
        status=201,
    ),
    AdminRoute("GET", _DESTINATION, _show_destination, "Show a destination", AlertDestinationEntry),
    AdminRoute(
        "PATCH",
        _DESTINATION,
        _set_destination,
        "Change a destination",
        AlertDestinationEntry,
        body=AlertDestinationChanges,
    ),
    AdminRoute("DELETE", _DESTINATION, _remove_destination, "Remove a destination", AlertDestinationEntry),
    AdminRoute(
        "POST", "/alerts/tests", _test, "Try out a destination, or those of a rule", AlertTestResults, body=AlertTest
    ),
)
