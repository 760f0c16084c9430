"""/admin/v1/users: who may call."""

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from proxy.config.limit import written
from proxy.config.schema import Settings, User
from proxy.pipeline.identity.user_lookup import group_of
from proxy.storage.users import no_user
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.route import AdminAnswer, AdminBody, AdminQuery, AdminRequest, AdminRoute
from proxy.web.deps import Deps

_NAME = "1 to 64 letters, digits, and . _ @ + - only."


class UserEntry(BaseModel):
    """A user. made_by: the token that named an end user first."""

    name: str
    group: str | None
    disabled: bool
    settings: dict[str, Any]
    source: Literal["config", "database"]
    made_by: str | None
    created_at: MomentText | None


class NewUser(AdminBody):
    """A user to add. settings: limits, models, max_tokens, as in the configuration."""

    name: str = Field(description=_NAME)
    group: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)


class UserChanges(AdminBody):
    """What to change of a user; what is missing stays."""

    group: str | None = None
    disabled: bool = False
    settings: dict[str, Any] = Field(default_factory=dict)


class UserFilter(AdminQuery):
    """Which users."""

    group: str | None = None


def _stored(settings: Settings, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": row["name"],
        "group": group_of(settings, row),
        "disabled": row["disabled"],
        "settings": row["settings"],
        "source": "database",
        "made_by": row["made_by"],
        "created_at": moment_text(row["created_ms"]),
    }


def _configured(name: str, user: User, row: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "name": name,
        "group": user.group,
        "disabled": user.disabled or (row is not None and row["disabled"]),
        "settings": _own(user),
        "source": "config",
        "made_by": None,
        "created_at": None,
    }


def _own(user: User) -> dict[str, Any]:
    """Return what a user of the configuration has of their own, in its words."""
    limits: dict[str, list[str]] = {}
    for limit in user.limits.all:
        limits.setdefault(limit.kind, []).append(written(limit))
    own: dict[str, Any] = {"limits": limits} if limits else {}
    if user.models is not None:
        own["models"] = list(user.models)
    if user.max_tokens is not None:
        own["max_tokens"] = user.max_tokens
    return own


async def _all(deps: Deps) -> dict[str, dict[str, Any]]:
    """Return all users by name; those of the configuration take precedence."""
    settings = deps.services.live.current.settings
    rows = {row["name"]: row for row in await asyncio.to_thread(deps.services.reports.list_users)}
    found = {name: _stored(settings, row) for name, row in rows.items()}
    return {**found, **{name: _configured(name, user, rows.get(name)) for name, user in settings.users.items()}}


async def _list(request: AdminRequest) -> AdminAnswer:
    query: UserFilter = request.query
    users = [user for user in (await _all(request.deps)).values() if query.group in (None, user["group"])]
    return AdminAnswer(*request.page.of(users, lambda user: (user["name"],)))


async def _show(request: AdminRequest) -> AdminAnswer:
    return AdminAnswer(await _found(request, request.path["name"]))


async def _found(request: AdminRequest, name: str) -> dict[str, Any]:
    users = await _all(request.deps)
    if name not in users:
        raise no_user(name)
    return users[name]


async def _add(request: AdminRequest) -> AdminAnswer:
    body: NewUser = request.body
    await request.change("users.add", body.model_dump())
    return AdminAnswer(await _found(request, body.name))


async def _set(request: AdminRequest) -> AdminAnswer:
    body: UserChanges = request.body
    name = request.path["name"]
    await request.change("users.set", {"name": name, "changes": body.model_dump(exclude_unset=True)})
    return AdminAnswer(await _found(request, name))


async def _remove(request: AdminRequest) -> AdminAnswer:
    found = await _found(request, request.path["name"])
    await request.change("users.remove", {"name": request.path["name"]})
    return AdminAnswer(found)


ROUTES = (
    AdminRoute("GET", "/users", _list, "List users", UserEntry, query=UserFilter, is_list=True),
    AdminRoute("POST", "/users", _add, "Add a user, without a token", UserEntry, body=NewUser, status=201),
    AdminRoute("GET", "/users/{name}", _show, "Show a user", UserEntry),
    AdminRoute("PATCH", "/users/{name}", _set, "Change a user", UserEntry, body=UserChanges),
    AdminRoute("DELETE", "/users/{name}", _remove, "Remove a user and their tokens; their requests stay", UserEntry),
)
