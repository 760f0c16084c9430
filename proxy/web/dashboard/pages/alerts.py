"""Alerts: what fires, the rules, where they go, and what was delivered."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from proxy.core.errors import ApiError
from proxy.web.dashboard.alert_sentences import firing_sentence, other_settings, rule_sentences
from proxy.web.dashboard.figures import read_at
from proxy.web.dashboard.table import Column, Table
from proxy.web.dashboard.view import DashboardRequest, Page, Redirect, View

_HERE: Final = "/dashboard/alerts"
_RULE_STATES: Final = {"at_rest": "ok", "firing": "bad", "silenced": "off", "disabled": "off"}
_DELIVERY_STATES: Final = {"waiting": "warn", "delivered": "ok", "failed": "bad"}
_DELIVERIES_SHOWN: Final = 200
_SILENCES: Final = {"1h": 1, "24h": 24, "7d": 168}
_FIRING: Final = (
    Column("rule", "Rule"),
    Column("told", "What"),
    Column("detail", "Figures"),
    Column("since_at", "Since", "time"),
)
_RULES: Final = (
    Column("name", "Rule"),
    Column("shown_state", "State", "state"),
    Column("told", "What it does"),
    Column("others", "Other settings"),
    Column("subjects", "Watches", "count", hint="How many are measured."),
    Column("last_fired_at", "Fired last", "time"),
    Column("source", "Source"),
)
_DESTINATIONS: Final = (
    Column("name", "Name"),
    Column("kind", "Kind"),
    Column("shown_state", "State", "state"),
    Column("source", "Source"),
)
_DELIVERIES: Final = (
    Column("made_at", "Made", "time"),
    Column("title", "Alert"),
    Column("rule", "Rule"),
    Column("destination", "To"),
    Column("shown_state", "State", "state"),
    Column("attempts", "Attempts", "count"),
    Column("problem", "Problem"),
)


async def _show(request: DashboardRequest) -> Page:
    return await _page(request)


async def _page(request: DashboardRequest, problem: ApiError | None = None) -> Page:
    api = request.api
    rules = await api.all("/alerts/rules")
    deliveries = await api.all("/alerts/deliveries", most=_DELIVERIES_SHOWN)
    values = {
        "failed": [one for one in deliveries if one["state"] == "failed"],
        "problem": None if problem is None else problem.message,
        "silences": {"1h": "1 hour", "24h": "24 hours", "7d": "7 days"},
    }
    tables = (
        _firing(await api.all("/alerts/states", {"firing": True}), {rule["name"]: rule for rule in rules}),
        _rules(rules),
        _destinations(await api.all("/alerts/destinations")),
        _delivered(deliveries),
    )
    return Page("alerts.html", values, tables, status=200 if problem is None else problem.status)


def _words(rule: Mapping[str, Any]) -> str:
    if rule["state"] == "firing":
        return f"firing for {rule['firing']}"
    return str(rule["state"]).replace("_", " ")


def _firing(states: Sequence[Mapping[str, Any]], rules: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = [
        {**one, "told": firing_sentence(rules[one["rule"]]["settings"]["watch"], one["subject"], one["value"])}
        for one in states
        if one["rule"] in rules  # one that was removed meanwhile fires no more
    ]
    return Table("firing", "Firing now", _FIRING, rows, "Nothing fires.", "-since_at")


def _rules(rules: Sequence[Mapping[str, Any]]) -> Table:
    """Return all rules; as CSV their columns, on the page with what can be done."""
    rows = [
        {
            **rule,
            "shown_state": (_RULE_STATES[rule["state"]], _words(rule)),
            "told": rule_sentences(rule["settings"]),
            "others": other_settings(rule["settings"]) or None,
        }
        for rule in rules
    ]
    return Table("rules", "Rules", _RULES, rows, "", is_paged_elsewhere=True)


def _destinations(destinations: Sequence[Mapping[str, Any]]) -> Table:
    """Return where alerts go; as CSV their columns, on the page with what can be done."""
    rows = []
    for one in destinations:
        problem = one["problem"] or one["disabled"]
        rows.append({**one, "shown_state": ("bad", problem) if problem else ("ok", "ready")})
    return Table("destinations", "Destinations", _DESTINATIONS, rows, "", is_paged_elsewhere=True)


def _delivered(deliveries: Sequence[Mapping[str, Any]]) -> Table:
    rows = [{**one, "shown_state": (_DELIVERY_STATES[one["state"]], one["state"])} for one in deliveries]
    note = f"The last {_DELIVERIES_SHOWN}." if len(rows) == _DELIVERIES_SHOWN else ""
    return Table("deliveries", "Sent", _DELIVERIES, rows, "No alert has been sent.", "-made_at", note=note)


async def _change_rule(request: DashboardRequest) -> Page | Redirect:
    """Silence a rule, end its silence, or try out where it goes."""
    name, word = request.path["name"], request.form.get("do", "")
    encoded = quote(name, safe="")
    try:
        if word == "speak":
            await request.api.delete(f"/alerts/silences/{encoded}")
            note = f"Rule {name} tells again."
        elif word == "test":
            note = _tested(await request.api.post("/alerts/tests", {"rule": name}))
        else:
            hours = _SILENCES.get(request.form.get("lasts", ""), 1)
            until = (read_at(request.now_ms) + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")
            await request.api.put(f"/alerts/silences/{encoded}", {"until_at": until})
            note = f"Rule {name} is silent for {hours} h."
    except ApiError as error:
        return await _page(request, error)
    return Redirect(_HERE, note)


async def _test_destination(request: DashboardRequest) -> Page | Redirect:
    try:
        found = await request.api.post("/alerts/tests", {"destination": request.path["name"]})
    except ApiError as error:
        return await _page(request, error)
    return Redirect(_HERE, _tested(found))


def _tested(found: Mapping[str, Any]) -> str:
    """Return what came of a test, in words."""
    return " ".join(
        f"{one['destination']}: {'delivered' if one['delivered'] else one['problem']}." for one in found["results"]
    )


async def _retry(request: DashboardRequest) -> Page | Redirect:
    try:
        again = await request.api.post(f"/alerts/deliveries/{quote(request.path['id'], safe='')}/retry")
    except ApiError as error:
        return await _page(request, error)
    return Redirect(_HERE, f"The alert is on its way to {again['destination']} again.")


VIEWS = (
    View("GET", _HERE, _show, "Alerts"),
    View("POST", "/dashboard/alerts/rules/{name}", _change_rule, "Alerts"),
    View("POST", "/dashboard/alerts/destinations/{name}/test", _test_destination, "Alerts"),
    View("POST", "/dashboard/alerts/deliveries/{id}/retry", _retry, "Alerts"),
)
