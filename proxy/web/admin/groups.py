"""/admin/v1/groups: users who share limits."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from proxy.config.overlay import CONFIG, DATABASE
from proxy.config.schema import Limits
from proxy.core.errors import CallerError
from proxy.storage.groups import checked_group, group_exists, no_group
from proxy.storage.limits import LimitScope
from proxy.storage.stored_settings import without_none
from proxy.web.admin.etag import etag_of
from proxy.web.admin.limit_entry import LimitEntry, limit_entries, unchanging
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.people import People, held, words_of
from proxy.web.admin.route import AdminAnswer, AdminBody, AdminQuery, AdminRequest, AdminRoute

_SETTINGS = (
    "What a group may have under groups: in the configuration, in its words: limits, models, max_tokens and so on."
)


class GroupEntry(BaseModel):
    """A group. in_database: there is a row too, which fills in what the file leaves open."""

    name: str
    settings: dict[str, Any] = Field(description="What the group has of its own, in the words of the configuration.")
    limits: list[LimitEntry] = Field(description="What holds for its members together.")
    members: list[str]
    children: list[str] = Field(description="Groups whose parent it is.")
    source: Literal["config", "database"]
    in_database: bool
    created_at: MomentText | None


class NewGroup(AdminBody):
    """A group to add."""

    name: str = Field(description="1 to 64 letters, digits, and . _ @ + - only.")
    settings: dict[str, Any] = Field(default_factory=dict, description=_SETTINGS)


class GroupChanges(AdminBody):
    """What to change of a group; what is missing stays, and a setting that is null is removed."""

    settings: dict[str, Any] = Field(default_factory=dict, description=_SETTINGS)


class GroupRemoval(AdminQuery):
    """How to remove a group. force: also one that has members, who are then in no group, or groups below it."""

    force: bool = False


async def _entry(request: AdminRequest, people: People, name: str) -> dict[str, Any]:
    group, row = people.overlay.settings.groups[name], people.group_rows.get(name)
    limits = held(LimitScope("group", name), group.limits, ("groups", name, "limits"))
    return {
        "name": name,
        "settings": words_of(group),
        "limits": await limit_entries(request, people, limits),
        "members": people.members.get(name, ()),
        "children": people.children(name),
        "source": CONFIG if name in people.overlay.file.groups else DATABASE,
        "in_database": row is not None,
        "created_at": None if row is None else moment_text(row["created_ms"]),
    }


async def _list(request: AdminRequest) -> AdminAnswer:
    people = await request.deps.people.read()
    names, cursor = request.page.of([*people.overlay.settings.groups], lambda name: (name,))
    return AdminAnswer([await _entry(request, people, name) for name in names], cursor)


async def _show(request: AdminRequest) -> AdminAnswer:
    found = await _found(request, request.path["name"])
    return AdminAnswer(found, etag=etag_of({**found, "limits": [unchanging(limit) for limit in found["limits"]]}))


async def _found(request: AdminRequest, name: str) -> dict[str, Any]:
    people = await request.deps.people.read()
    if name not in people.overlay.settings.groups:
        raise no_group(name)
    return await _entry(request, people, name)


async def _add(request: AdminRequest) -> AdminAnswer:
    body: NewGroup = request.body
    people = await request.deps.people.read()
    if body.name in people.overlay.settings.groups:
        raise group_exists(body.name)
    _check(people, body.name, body.settings)
    await request.change("groups.add", {"name": body.name, "settings": body.settings})
    return AdminAnswer(await _found(request, body.name))


async def _set(request: AdminRequest) -> AdminAnswer:
    body: GroupChanges = request.body
    people, name = await request.deps.people.read(), request.path["name"]
    if name not in people.overlay.settings.groups:
        raise no_group(name)
    _check(people, name, body.settings)
    if body.settings:
        await request.change("groups.set", {"name": name, "settings": body.settings})
    return AdminAnswer(await _found(request, name))


def _check(people: People, name: str, settings: Mapping[str, Any]) -> None:
    """Raise for what no group can have, and for what the file decides."""
    checked_group(name, {}, without_none(settings))
    people.check_open(people.overlay.file.groups.get(name), settings, ("groups", name))
    people.check_parent(name, settings.get("parent"))
    people.check_presets(settings)
    if settings.get("limits"):
        people.check_terms(Limits.read(settings["limits"]).all)


async def _remove(request: AdminRequest) -> AdminAnswer:
    query: GroupRemoval = request.query
    name = request.path["name"]
    found = await _found(request, name)
    is_configured = found["source"] == CONFIG
    if not found["in_database"]:
        (await request.deps.people.read()).refuse_decided(("groups", name))
    whom = [*found["members"], *(f"group {child}" for child in found["children"])]
    if whom and not is_configured and not query.force:
        text = f"Group {name!r} has {', '.join(whom)}: its limits would hold for none of them. Send force=true (--yes)."
        raise CallerError(409, "group_in_use", text, param="force")
    await request.change("groups.remove", {"name": name, "is_configured": is_configured})
    return AdminAnswer(found)


ROUTES = (
    AdminRoute("GET", "/groups", _list, "List groups", GroupEntry, is_list=True),
    AdminRoute("POST", "/groups", _add, "Add a group", GroupEntry, body=NewGroup, status=201),
    AdminRoute("GET", "/groups/{name}", _show, "Show a group", GroupEntry),
    AdminRoute("PATCH", "/groups/{name}", _set, "Change a group", GroupEntry, body=GroupChanges),
    AdminRoute(
        "DELETE", "/groups/{name}", _remove, "Remove a group; its members are in none", GroupEntry, query=GroupRemoval
    ),
)
