"""Stop: what is stopped, why and since when, and the form that stops more."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from proxy.core.errors import CallerError
from proxy.policy.stop import KINDS
from proxy.web.dashboard.figures import read_at
from proxy.web.dashboard.view import DashboardRequest, Page, Redirect, View

_LASTS: Final = {"": "Until it is resumed", "1h": "1 hour", "24h": "24 hours", "7d": "7 days"}
_GONE: Final = 404
_HOURS: Final = {"1h": 1, "24h": 24, "7d": 168}
_KINDS: Final = {
    "all": "Everything",
    "user": "A user",
    "group": "A group",
    "token": "A token",
    "model": "A model, or a pattern such as openai/*",
    "preset": "A preset",
    "provider": "A provider",
}
assert set(_KINDS) == set(KINDS), "the form offers every kind"
_TYPED: Final = ("kind", "subject", "reason", "effect", "lasts", "preset", "cut")
_EFFECTS: Final = {"stop": "Refuse requests", "slow": "Slow them down", "downgrade": "Send them to a preset"}


async def _show(request: DashboardRequest) -> Page:
    return await _page(request)


async def _page(request: DashboardRequest, problem: str | None = None, status: int = 200) -> Page:
    stops = await request.api.all("/stops")
    presets = [preset["name"] for preset in await request.api.all("/presets")]
    given = request.form if problem else request.query
    values = {
        "stops": stops,
        "kinds": _KINDS,
        "effects": _EFFECTS,
        "lasts": _LASTS,
        "presets": presets,
        "problem": problem,
        "given": {name: given.get(name, "") for name in _TYPED},
    }
    return Page("stop.html", values, status=status)


async def _stop(request: DashboardRequest) -> Page | Redirect:
    subject = request.form.get("subject", "").strip()
    if subject and request.form.get("kind") == "all":  # whoever typed a name means less than everything
        text = f'Nothing was stopped: choose what "{subject}" is, or leave the name empty to stop everything.'
        return await _page(request, text, 422)
    try:
        made = await request.api.post("/stops", _fields(request))
    except CallerError as error:  # a mistyped name above all: what was typed stays in the form
        return await _page(request, error.message, error.status)
    words = {"stop": "stopped", "slow": "slowed down", "downgrade": "sent to another preset"}
    return Redirect("/dashboard/stop", f"{_capital(_named(made))} is {words[made['effect']]} now.")


def _fields(request: DashboardRequest) -> Mapping[str, Any]:
    """Return the body for the API: what the form left empty is left out."""
    form = request.form
    fields: dict[str, Any] = {"kind": form.get("kind", "")}
    fields["cut"] = form.get("cut") == "yes"
    fields["effect"] = form.get("effect") or "stop"
    if form.get("subject", "").strip():
        fields["subject"] = form["subject"].strip()
    if form.get("reason", "").strip():
        fields["reason"] = form["reason"].strip()
    if fields["effect"] == "downgrade" and form.get("preset"):
        fields["preset"] = form["preset"]
    if (hours := _HOURS.get(form.get("lasts", ""))) is not None:
        fields["ends_at"] = (read_at(request.now_ms) + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")
    return fields


async def _resume(request: DashboardRequest) -> Redirect:
    """End a stop; the note says so where another one of the same holds on."""
    try:
        ended = await request.api.delete(f"/stops/{request.path['id']}")
    except CallerError as error:
        if error.status != _GONE:
            raise
        return Redirect("/dashboard/stop", "That stop has ended already.")
    of = ("kind", "subject")
    others = [
        one for one in await request.api.all("/stops") if [one[name] for name in of] == [ended[name] for name in of]
    ]
    if others:
        return Redirect("/dashboard/stop", f"That stop has ended; {_named(ended)} has another one, which holds on.")
    return Redirect("/dashboard/stop", f"{_capital(_named(ended))} goes on.")


def _named(stop: Mapping[str, Any]) -> str:
    return "everything" if stop["kind"] == "all" else f"{stop['kind']} {stop['subject']}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


VIEWS = (
    View("GET", "/dashboard/stop", _show, "Stop"),
    View("POST", "/dashboard/stop", _stop, "Stop"),
    View("POST", "/dashboard/stop/{id}/resume", _resume, "Resume"),
)
