"""/me/settings: what users set for themselves, where the operator lets them; the same as /v1/me/preferences."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.core.errors import CallerError
from proxy.web.dashboard.sessions import actor_of, identity_of
from proxy.web.dashboard.view import DashboardRequest, Page, Redirect, View
from proxy.web.own.preferences import own_preferences, set_preferences

_CHOICES: Final = {"": "As the operator says", "yes": "Yes", "no": "No"}
_FLAGS: Final = {"yes": True, "no": False}


async def _show(request: DashboardRequest) -> Page:
    own = own_preferences(request.deps, request.session.user or "")
    return _page(request, _typed(own))


def _page(request: DashboardRequest, given: Mapping[str, str], problem: CallerError | None = None) -> Page:
    identity = identity_of(request.session, request.deps)
    preferences, snapshot = identity.allowance.preferences, request.deps.services.live.current
    values = {
        "given": given,
        "choices": _CHOICES,
        "problem": None if problem is None else problem.message,
        "may_prefer": identity.allowance.may_prefer,
        "presets": [name for name in snapshot.presets if identity.allowance.allows(name)],
        "in_force": {
            "model": None if preferences is None else preferences.model,
            "parameters": {} if preferences is None else dict(preferences.parameters),
            "fallback": preferences is None or preferences.fallback,
            "cheapest": preferences is not None and preferences.cheapest,
            "use_cases": dict(snapshot.use_cases if preferences is None else preferences.use_cases),
        },
    }
    return Page("own_preferences.html", values, status=200 if problem is None else problem.status)


def _typed(own: Mapping[str, Any]) -> dict[str, str]:
    """Return preferences as the form shows them."""
    parameters = own.get("parameters") or {}
    return {
        "default_model": own.get("default_model") or own.get("default_preset") or "",
        "parameters": orjson.dumps(parameters, option=orjson.OPT_INDENT_2).decode() if parameters else "",
        "fallback": _choice(own.get("fallback")),
        "cheapest": _choice(own.get("cheapest")),
        "use_cases": "\n".join(f"{name} {preset}" for name, preset in (own.get("use_cases") or {}).items()),
    }


def _choice(value: object) -> str:
    return "" if value is None else "yes" if value else "no"


async def _set(request: DashboardRequest) -> Page | Redirect:
    try:
        wanted = _wanted(request.form)
        identity = identity_of(request.session, request.deps)
        actor = actor_of(request.session, request.context)
        await set_preferences(request.context, request.deps, identity, wanted, actor)
    except CallerError as error:  # what was typed stays in the form
        return _page(request, {name: request.form.get(name, "") for name in _typed({})}, error)
    return Redirect("/me/settings", "Your preferences are in force with your next request.")


def _wanted(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the document of preferences that a form says; raises CallerError for what cannot be read."""
    wanted: dict[str, Any] = {}
    if form.get("default_model", "").strip():
        wanted["default_model"] = form["default_model"].strip()
    for name in ("fallback", "cheapest"):
        if form.get(name) in _FLAGS:
            wanted[name] = _FLAGS[form[name]]
    if form.get("parameters", "").strip():
        wanted["parameters"] = _parameters(form["parameters"])
    use_cases: dict[str, str] = {}
    for line in form.get("use_cases", "").splitlines():
        words = line.replace(":", " ").split()
        if words and len(words) != 2:
            text = f"Use cases: write a name and a preset in each line, not {line.strip()[:60]!r}."
            raise CallerError(400, "invalid_value", text, param="use_cases")
        if words:
            use_cases[words[0]] = words[1]
    return {**wanted, "use_cases": use_cases} if use_cases else wanted


def _parameters(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        text = 'Parameters: write a JSON object, such as {"temperature": 0.2}.'
        raise CallerError(400, "invalid_value", text, param="parameters")
    return found


VIEWS = (
    View("GET", "/me/settings", _show, "Your preferences", audience="user"),
    View("POST", "/me/settings", _set, "Your preferences", audience="user"),
)
