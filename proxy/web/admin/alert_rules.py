"""/admin/v1/alerts/rules and silences: what is watched, and which rules tell nothing for a while."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from proxy.config.alerts import AlertRule
from proxy.storage.alerts import AlertRows, check_rule, no_rule, no_silence
from proxy.web.admin.alert_words import (
    IN_ITS_WORDS,
    Source,
    alert_rows,
    alerts_of,
    check_named,
    check_stored,
    source_of,
    words_of_block,
)
from proxy.web.admin.etag import etag_of
from proxy.web.admin.moment import Moment, MomentText, moment_ms, moment_text
from proxy.web.admin.route import AdminAnswer, AdminBody, AdminRequest, AdminRoute


class AlertRuleEntry(BaseModel):
    """A rule. state: at_rest, pending, firing, or silenced; subjects: how many were measured, and how many fire."""

    name: str
    settings: dict[str, Any]
    source: Source
    enabled: bool
    state: Literal["at_rest", "firing", "silenced", "disabled"]
    subjects: int
    firing: int
    silenced_until: MomentText | None
    last_fired_at: MomentText | None


class NewAlertRule(AdminBody):
    name: str = Field(description="1 to 64 letters, digits, and . _ @ + - only.")
    settings: dict[str, Any] = Field(description=f"watch, at, to and so on. {IN_ITS_WORDS}")


class AlertRuleChanges(AdminBody):
    """What to change of a rule; what is missing stays, and a setting that is null takes its default."""

    settings: dict[str, Any] = Field(description=IN_ITS_WORDS)


class AlertSilence(BaseModel):
    """A rule that tells nothing until a time."""

    rule: str
    until_at: MomentText
    reason: str | None
    actor: str


class NewAlertSilence(AdminBody):
    until_at: Moment
    reason: str | None = Field(default=None, max_length=500)


def _rule_entry(request: AdminRequest, name: str, rule: AlertRule, rows: AlertRows) -> dict[str, Any]:
    firing = [subject for (of, subject), state in rows.states.items() if of == name and state.level]
    silence = rows.silences.get(name)
    is_silenced = silence is not None and silence.until_ms > request.now_ms
    state = "silenced" if is_silenced else "firing" if firing else "at_rest"
    return {
        "name": name,
        "settings": words_of_block(rule),
        "source": source_of(request, "rules", name),
        "enabled": rule.enabled,
        "state": state if rule.enabled else "disabled",
        "subjects": sum(of == name for of, _ in request.deps.alerts.measured),
        "firing": len(firing),
        "silenced_until": moment_text(silence.until_ms) if silence is not None and is_silenced else None,
        "last_fired_at": moment_text(rows.fired_ms.get(name)),
    }


async def _list_rules(request: AdminRequest) -> AdminAnswer:
    rows = await alert_rows(request)
    found = [_rule_entry(request, name, rule, rows) for name, rule in alerts_of(request).rules.items()]
    return AdminAnswer(*request.page.of(found, lambda rule: (rule["name"],)))


async def _show_rule(request: AdminRequest) -> AdminAnswer:
    name = request.path["name"]
    rule = alerts_of(request).rules.get(name)
    if rule is None:
        raise no_rule(name)
    entry = _rule_entry(request, name, rule, await alert_rows(request))
    changes = {key: entry[key] for key in ("name", "settings", "source")}
    return AdminAnswer(entry, etag=etag_of(changes))


async def _add_rule(request: AdminRequest) -> AdminAnswer:
    body: NewAlertRule = request.body
    await check_stored(request, "rules", body.name)
    check_named(request, check_rule(body.settings))
    await request.change("alert_rules.add", {"name": body.name, "settings": body.settings})
    return await _shown_rule(request, body.name)


async def _set_rule(request: AdminRequest) -> AdminAnswer:
    body: AlertRuleChanges = request.body
    name = request.path["name"]
    await check_stored(request, "rules", name)
    rows = (await request.read(request.deps.services.reports.directory)).alert_rules
    row = next((row for row in rows if row["name"] == name), None)
    if row is None:
        raise no_rule(name)
    settings = {key: value for key, value in {**row["settings"], **body.settings}.items() if value is not None}
    check_named(request, check_rule(settings))
    await request.change("alert_rules.set", {"name": name, "settings": settings})
    return await _shown_rule(request, name)


async def _shown_rule(request: AdminRequest, name: str) -> AdminAnswer:
    return AdminAnswer(_rule_entry(request, name, alerts_of(request).rules[name], await alert_rows(request)))


async def _remove_rule(request: AdminRequest) -> AdminAnswer:
    name = request.path["name"]
    await check_stored(request, "rules", name)
    is_read = name in alerts_of(request).rules
    found = (await _show_rule(request)).data if is_read else await _unreadable_entry(request, name)
    await request.change("alert_rules.remove", {"name": name})
    return AdminAnswer(found)


async def _unreadable_entry(request: AdminRequest, name: str) -> dict[str, Any]:
    """Return a rule that this version refuses, as its row is; raises MissingError."""
    rows = (await request.read(request.deps.services.reports.directory)).alert_rules
    row = next((row for row in rows if row["name"] == name), None)
    if row is None:
        raise no_rule(name)
    at_rest = {"state": "disabled", "subjects": 0, "firing": 0, "silenced_until": None, "last_fired_at": None}
    return {"name": name, "settings": row["settings"], "source": "database", "enabled": False, **at_rest}


async def _list_silences(request: AdminRequest) -> AdminAnswer:
    rows = await alert_rows(request)
    found = [_silence(one._asdict()) for one in rows.silences.values() if one.until_ms > request.now_ms]
    return AdminAnswer(*request.page.of(found, lambda one: (one["rule"],)))


def _silence(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "rule": row["rule"],
        "until_at": moment_text(row["until_ms"]),
        "reason": row["reason"],
        "actor": row["actor"],
    }


async def _set_silence(request: AdminRequest) -> AdminAnswer:
    body: NewAlertSilence = request.body
    name = request.path["rule"]
    if name not in alerts_of(request).rules:
        raise no_rule(name)
    fields = {"name": name, "until_ms": moment_ms(body.until_at), "reason": body.reason or None}
    return AdminAnswer(_silence(await request.change("alert_rules.silence", fields)))


async def _show_silence(request: AdminRequest) -> AdminAnswer:
    found = (await alert_rows(request)).silences.get(request.path["rule"])
    if found is None or found.until_ms <= request.now_ms:
        raise no_silence(request.path["rule"])
    return AdminAnswer(_silence(found._asdict()))


async def _end_silence(request: AdminRequest) -> AdminAnswer:
    return AdminAnswer(_silence(await request.change("alert_rules.unsilence", {"name": request.path["rule"]})))


_RULE, _SILENCE = "/alerts/rules/{name}", "/alerts/silences/{rule}"
ROUTES = (
    AdminRoute("GET", "/alerts/rules", _list_rules, "List alert rules", AlertRuleEntry, is_list=True),
    AdminRoute("POST", "/alerts/rules", _add_rule, "Add a rule", AlertRuleEntry, body=NewAlertRule, status=201),
    AdminRoute("GET", _RULE, _show_rule, "Show a rule", AlertRuleEntry),
    AdminRoute("PATCH", _RULE, _set_rule, "Change a rule", AlertRuleEntry, body=AlertRuleChanges),
    AdminRoute("DELETE", _RULE, _remove_rule, "Remove a rule; what it told stays listed", AlertRuleEntry),
    AdminRoute("GET", "/alerts/silences", _list_silences, "List silenced rules", AlertSilence, is_list=True),
    AdminRoute("GET", _SILENCE, _show_silence, "Show a silence", AlertSilence),
    AdminRoute("PUT", _SILENCE, _set_silence, "Silence a rule until a time", AlertSilence, body=NewAlertSilence),
    AdminRoute("DELETE", _SILENCE, _end_silence, "End a silence", AlertSilence),
)
