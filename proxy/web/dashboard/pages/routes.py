"""Routes: presets and providers as requests meet them now, and where a request would go."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from proxy.core.errors import CallerError
from proxy.providers.key import NO_KEY
from proxy.web.dashboard.figures import duration_text
from proxy.web.dashboard.table import Column, Table
from proxy.web.dashboard.view import DashboardRequest, Page, View
from proxy.wire.endpoint import ENDPOINTS

_SELECTS: Final = {
    "ordered": "in this order",
    "cheapest": "the cheapest first",
    "fastest": "the fastest first",
    "balanced": "by price and speed",
}
_BREAKERS: Final = {"closed": ("ok", "takes requests"), "half_open": ("warn", "on probation"), "open": ("bad", "rests")}
_BREAKER_COLUMNS: Final = (
    Column("place", "Provider or model"),
    Column("state", "Breaker", "state", hint="After several failures a target rests, and other targets answer."),
    Column("failures", "Failures in a row", "count"),
    Column("attempts", "Attempts lately", "count"),
    Column("errors", "Failed lately", "count"),
    Column("opened", "Times opened", "count"),
)
_KEY_COLUMNS: Final = (
    Column("provider", "Provider"),
    Column("name", "Key"),
    Column("state", "State", "state"),
    Column("until", "Until", "time"),
    Column("reason", "Why"),
)
_ASKED: Final = ("user", "model", "endpoint", "max_tokens", "prompt")
_ENDPOINTS: Final = tuple(endpoint.name for endpoint in ENDPOINTS if not endpoint.is_free)


async def _show(request: DashboardRequest) -> Page:
    connections = await request.api.all("/connections")
    presets = await request.api.all("/presets")
    asked = {name: request.query.get(name, "").strip() for name in _ASKED}
    found, problem = await _explained(request, asked) if asked["model"] else (None, None)
    values = {
        "connections": connections,
        "presets": [{**preset, "how": _SELECTS[preset["select"]]} for preset in presets],
        "asked": asked,
        "endpoints": _ENDPOINTS,
        "found": found,
        "problem": problem,
        "breaker_states": _BREAKERS,
    }
    return Page("routes.html", values, (_breakers(connections), _keys(connections)))


def _breakers(connections: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for provider in connections:
        breakers = [(provider["name"], provider["breaker"])]
        breakers += [(f"{provider['name']}/{one['model']}", one) for one in provider["models"]]
        rows += [_breaker_row(place, breaker) for place, breaker in breakers]
    return Table("breakers", "Breakers", _BREAKER_COLUMNS, rows, "There is no provider.")


def _breaker_row(place: str, breaker: Mapping[str, Any]) -> Mapping[str, Any]:
    kind, words = _BREAKERS[breaker["state"]]
    if breaker["retry_in_s"]:
        words = f"{words} for {duration_text(breaker['retry_in_s'] * 1000)}"
    return {
        "place": place,
        "state": (kind, words),
        "failures": breaker["failures_in_row"],
        "attempts": breaker["attempts"],
        "errors": breaker["errors"],
        "opened": breaker["opened_count"],
    }


def _keys(connections: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        {
            "provider": provider["name"],
            "name": key["name"],
            "state": _key_state(key),
            "until": key["set_aside_until"],
            "reason": key["reason"],
        }
        for provider in connections
        for key in provider["keys"]
    ]
    return Table("keys", "Keys in use", _KEY_COLUMNS, rows, "No provider has a key.")


def _key_state(key: Mapping[str, Any]) -> tuple[str, str]:
    if key["name"] == NO_KEY.facts.name:
        return "off", "no key"
    if key["set_aside_until"] is not None:
        return "bad", "suspended"
    if not key["valid"]:
        return "off", "outside its dates"
    return ("warn", f"not for {key['models_set_aside']} models") if key["models_set_aside"] else ("ok", "in use")


async def _explained(
    request: DashboardRequest, asked: Mapping[str, str]
) -> tuple[Mapping[str, Any] | None, str | None]:
    """Return where a request would go, or why that can not be said. Nothing is sent and nothing is reserved."""
    endpoint = asked["endpoint"] or _ENDPOINTS[0]
    try:
        fields = {"body": _body(endpoint, asked), "endpoint": endpoint, "user": asked["user"] or None}
        return await request.api.post("/explain", fields), None
    except CallerError as error:
        return None, error.message


def _body(endpoint: str, asked: Mapping[str, str]) -> dict[str, Any]:
    """Return the least body of an endpoint that names the model; raises CallerError for a number that is none."""
    prompt = asked["prompt"] or "Hello!"
    body: dict[str, Any] = {"model": asked["model"]}
    match endpoint:
        case "chat/completions" | "messages":
            body["messages"] = [{"role": "user", "content": prompt}]
        case "completions":
            body["prompt"] = prompt
        case "rerank":
            body |= {"query": prompt, "documents": [prompt]}
        case _:
            body["input"] = prompt
    if asked["max_tokens"]:
        if not (asked["max_tokens"].isascii() and asked["max_tokens"].isdigit() and len(asked["max_tokens"]) < 10):
            raise CallerError(422, "invalid_field", "The longest answer is a number of tokens.", param="max_tokens")
        body["max_output_tokens" if endpoint == "responses" else "max_tokens"] = int(asked["max_tokens"])
    elif endpoint == "messages":
        body["max_tokens"] = 1000
    return body


VIEWS = (View("GET", "/dashboard/routes", _show, "Routes"),)
