"""/admin/v1/limits: every limit there is, wherever it stands, with what is used and left of it."""

from typing import Any, Literal

from pydantic import Field

from proxy.config.overlay import DATABASE
from proxy.storage.limits import LimitPlace, LimitScope, no_limit, read_limit, read_scope
from proxy.storage.users import no_user
from proxy.web.admin.etag import etag_of
from proxy.web.admin.limit_entry import LimitEntry, limit_entries, limit_entry, unchanging
from proxy.web.admin.people import HeldLimit, People
from proxy.web.admin.route import AdminAnswer, AdminBody, AdminQuery, AdminRequest, AdminRoute

_FORMS = 'In any form of the configuration: "$5/day", or {"amount": "$5", "window": "day", "mode": "soft"}.'
_OF_NOBODY = frozenset({"all", "each_user", "each_end_user"})  # scopes without a name
ScopeWord = Literal["all", "each_user", "user", "group", "use_case"]


class NewLimit(AdminBody):
    """A limit to add: on everyone together, on each user, or on one user, group or use case."""

    scope: ScopeWord
    name: str | None = Field(default=None, description="Of the user, group or use case.")
    kind: str = Field(description="cost, tokens, requests, images or concurrency.")
    limit: str | int | dict[str, Any] = Field(description=_FORMS)


class LimitChanges(AdminBody):
    """What to put in the place of a limit; what was spent stays."""

    limit: str | int | dict[str, Any] = Field(description=_FORMS)


class LimitFilter(AdminQuery):
    """Which limits."""

    scope: ScopeWord | Literal["each_end_user"] | None = None
    name: str | None = None
    kind: str | None = None


async def _list(request: AdminRequest) -> AdminAnswer:
    query: LimitFilter = request.query
    people = await request.deps.people.read()
    limits = people.limits
    if query.scope is not None and (query.name is not None or query.scope in _OF_NOBODY):
        limits = people.limits_of.get(LimitScope(query.scope, query.name or ""), ())
    found = [
        one
        for one in limits
        if query.scope in (None, one.scope.what)
        and query.name in (None, one.scope.name)
        and query.kind in (None, one.limit.kind)
    ]
    page, cursor = request.page.of_ordered(found, lambda one: one.place)
    return AdminAnswer(await limit_entries(request, people, page), cursor)


async def _show(request: AdminRequest) -> AdminAnswer:
    people = await request.deps.people.read()
    one = _held(people, request.path["id"])
    entry = await limit_entry(request, one, people.source(one.path))
    return AdminAnswer(entry, etag=etag_of(unchanging(entry)))


def _held(people: People, id_: str) -> HeldLimit:
    found = people.limits_by_id.get(id_)
    if found is None:
        raise no_limit(id_)
    return found


async def _entry_of(request: AdminRequest, place: LimitPlace) -> dict[str, Any]:
    people = await request.deps.people.read()
    one = _held(people, place.id)
    return await limit_entry(request, one, people.source(one.path))


async def _add(request: AdminRequest) -> AdminAnswer:
    body: NewLimit = request.body
    scope, limit = read_scope(body.scope, body.name), read_limit(body.kind, body.limit)
    people = await request.deps.people.read()
    is_configured = _check_holder(people, scope)
    people.check_free(scope, limit)
    people.check_terms((limit,))
    fields = {"scope": scope.what, "name": scope.name, "kind": body.kind, "limit": body.limit}
    await request.change("limits.add", {**fields, "is_configured": is_configured})
    return AdminAnswer(await _entry_of(request, LimitPlace(scope, limit.place)))


def _check_holder(people: People, scope: LimitScope) -> bool:
    """Raise where there is no such user or group; return whether it is one of the file."""
    if scope.what == "user" and scope.name not in people.user_rows:
        if scope.name not in people.overlay.file.users:
            raise no_user(scope.name)
        return True
    if scope.what == "group":
        people.check_group(scope.name)
        return scope.name in people.overlay.file.groups
    return False


async def _set(request: AdminRequest) -> AdminAnswer:
    body: LimitChanges = request.body
    people = await request.deps.people.read()
    one = _stored(people, request.path["id"])
    limit = read_limit(one.limit.kind, body.limit)
    if limit.place != one.limit.place:
        people.check_free(one.scope, limit)
    people.check_terms((limit,))
    fields = {"scope": one.scope.what, "name": one.scope.name, "place": one.limit.place}
    await request.change("limits.set", {**fields, "kind": one.limit.kind, "limit": body.limit})
    return AdminAnswer(await _entry_of(request, LimitPlace(one.scope, limit.place)))


def _stored(people: People, id_: str) -> HeldLimit:
    """Return a limit of the database; raises where the file has it."""
    one = _held(people, id_)
    if people.source(one.path) != DATABASE:
        people.refuse_decided(one.path)
    return one


async def _remove(request: AdminRequest) -> AdminAnswer:
    people = await request.deps.people.read()
    one = _stored(people, request.path["id"])
    entry = await limit_entry(request, one, DATABASE)
    await request.change("limits.remove", {"scope": one.scope.what, "name": one.scope.name, "place": one.limit.place})
    return AdminAnswer(entry)


ROUTES = (
    AdminRoute(
        "GET", "/limits", _list, "List limits, with what is used and left", LimitEntry, query=LimitFilter, is_list=True
    ),
    AdminRoute("POST", "/limits", _add, "Add a limit", LimitEntry, body=NewLimit, status=201),
    AdminRoute("GET", "/limits/{id}", _show, "Show a limit", LimitEntry),
    AdminRoute("PATCH", "/limits/{id}", _set, "Change a limit", LimitEntry, body=LimitChanges),
    AdminRoute("DELETE", "/limits/{id}", _remove, "Remove a limit", LimitEntry),
)
