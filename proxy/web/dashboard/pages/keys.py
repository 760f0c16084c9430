"""Keys of providers: their state, and how to add, test, replace and disable them. No page shows a key."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from proxy.core.errors import ApiError
from proxy.web.dashboard.table import Column, Table
from proxy.web.dashboard.view import DashboardRequest, Page, Redirect, View

_HERE: Final = "/dashboard/keys"
_STATES: Final = {
    "in use": "ok",
    "disabled": "off",
    "not yet": "off",
    "expired": "off",
    "hidden": "off",
    "no provider": "warn",
    "not opened": "bad",
    "suspended": "bad",
    "used up": "warn",
}
_COLUMNS: Final = (
    Column("provider", "Provider"),
    Column("name", "Key"),
    Column("hint", "Ends in"),
    Column("state", "State"),
    Column("management", "For the account only"),
    Column("user", "User"),
    Column("group", "Group"),
    Column("source", "Source"),
    Column("rotated_at", "Replaced", "time"),
)
_OF_THE_API: Final = " To store it all the same: test: false (--no-test)."  # forms have other words for it, or none
_OF_THE_FORM: Final = " To store it all the same, clear “Ask the provider first”."


async def _show(request: DashboardRequest) -> Page:
    return await _page(request)


async def _page(request: DashboardRequest, problem: ApiError | None = None) -> Page:
    """Return all keys; problem: why a change was not made. A key that was typed is never put back into the form."""
    keys = await request.api.all("/keys")
    typed = request.form if problem else {}
    values = {
        "providers": [provider["name"] for provider in await request.api.all("/providers")],
        "problem": None if problem is None else _told(request, problem),
        "given": {name: typed.get(name, "") for name in ("provider", "name", "user", "group", "test", "management")},
        "is_first": "secret" not in typed,  # the form as it is before anybody has sent it
    }
    return Page("keys.html", values, (_table(keys),), status=200 if problem is None else problem.status)


def _table(keys: Sequence[Mapping[str, Any]]) -> Table:
    """Return all keys, without any secret; as CSV their columns, on the page with what can be done."""
    rows = [
        {
            **key,
            "management": "yes" if key["management"] else "no",
            "shown_state": (_STATES.get(key["state"], "warn"), key["state"]),
        }
        for key in keys
    ]
    return Table("keys", "Keys of providers", _COLUMNS, rows, "", is_paged_elsewhere=True)


def _told(request: DashboardRequest, problem: ApiError) -> str:
    """Return why a change was not made, in the words of the form that asked for it."""
    return problem.message.replace(_OF_THE_API, _OF_THE_FORM if "id" not in request.path else "")


async def _add(request: DashboardRequest) -> Page | Redirect:
    form = request.form
    body: dict[str, Any] = {"provider": form.get("provider", ""), "secret": form.get("secret", "").strip()}
    body |= {name: form[name].strip() for name in ("name", "user", "group") if form.get(name, "").strip()}
    body |= {"management": form.get("management") == "yes", "test": form.get("test") == "yes"}
    try:
        made = await request.api.post("/keys", body)
    except ApiError as error:
        return await _page(request, error)
    note = f"Key {made['name']} of {made['provider']} is in force. {_said(made['check'])}".rstrip()
    if made["master_key_made"]:
        note += f" It is sealed by a new master key in {made['master_key_made']}: keep a copy of that elsewhere."
    return Redirect(_HERE, note)


def _said(check: Mapping[str, Any] | None) -> str:
    return "" if check is None else str(check["said"])


async def _change(request: DashboardRequest) -> Page | Redirect:
    """Test, disable, enable or remove a key, or put another in its place."""
    key_id, word = request.path["id"], request.form.get("do", "")
    path = f"/keys/{quote(key_id, safe='')}"
    try:
        note = await _done(request, path, word)
    except ApiError as error:
        return await _page(request, error)
    return Redirect(_HERE, note)


async def _done(request: DashboardRequest, path: str, word: str) -> str:
    api = request.api
    match word:
        case "test":
            return _said(await api.post(f"{path}/test"))
        case "remove":
            removed = await api.delete(path)
            return f"Key {removed['name']} of {removed['provider']} is removed."
        case "replace":
            secret = request.form.get("secret", "").strip()
            made = await api.post(f"{path}/rotate", {"secret": secret})
            return f"Key {made['name']} of {made['provider']} is replaced. {_said(made['check'])}".rstrip()
    changed = await api.patch(path, {"disabled": word == "disable"})
    return f"Key {changed['name']} of {changed['provider']} is {'disabled' if changed['disabled'] else 'enabled'}."


VIEWS = (
    View("GET", _HERE, _show, "Keys"),
    View("POST", _HERE, _add, "Keys"),
    View("POST", "/dashboard/keys/{id}", _change, "Keys"),
)
