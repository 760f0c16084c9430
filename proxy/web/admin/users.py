"""/admin/v1/users: who may call."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from proxy.config.overlay import CONFIG, DATABASE, SettingPath
from proxy.config.schema import Limits, User
from proxy.core.loop_turn import LoopTurn
from proxy.pipeline.admission.allowance import user_limits
from proxy.storage.limits import LimitScope
from proxy.storage.stored_settings import without_none
from proxy.storage.users import check_settings, no_user
from proxy.web.admin.etag import etag_of
from proxy.web.admin.limit_entry import LimitEntry, limit_entries, unchanging
from proxy.web.admin.moment import Moment, MomentText, check_ahead, moment_ms, moment_text
from proxy.web.admin.people import HeldLimit, People, held, words_of
from proxy.web.admin.route import AdminAnswer, AdminBody, AdminQuery, AdminRequest, AdminRoute, ShownOnce

_NAME = "1 to 64 letters, digits, and . _ @ + - only."
_SETTINGS = (
    "What a user may have under users: in the configuration, in its words: limits, models, max_tokens, expires_at and"
    " so on."
)


class UserEntry(BaseModel):
    """A user. in_database: there is a row too, which fills in what the file leaves open."""

    name: str
    group: str | None
    disabled: bool
    expires_at: MomentText | None
    expired: bool
    settings: dict[str, Any] = Field(description="What the user has of their own, in the words of the configuration.")
    limits: list[LimitEntry] = Field(description="What holds for the user alone: their own, else those of each user.")
    tokens: int = Field(description="How many tokens the user has.")
    source: Literal["config", "database"]
    in_database: bool
    made_by: str | None = Field(description="The token that named an end user first.")
    created_at: MomentText | None


class MadeUser(UserEntry):
    """A user who was just made; token and token_id are there where a first token was asked for, and only here."""

    token: ShownOnce | None = None
    token_id: str | None = None


class FirstToken(AdminBody):
    """A first token."""

    name: str | None = None
    expires_at: Moment | None = None
    trusted: bool = False


class NewUser(AdminBody):
    """A user to add, and a first token if there shall be one: both are made or neither."""

    name: str = Field(description=_NAME)
    group: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict, description=_SETTINGS)
    token: FirstToken | None = None


class UserChanges(AdminBody):
    """What to change of a user; what is missing stays, and a setting that is null is removed."""

    group: str | None = None
    disabled: bool = False
    settings: dict[str, Any] = Field(default_factory=dict, description=_SETTINGS)


UserSort = Literal["name", "-name", "group", "-group", "tokens", "-tokens"]


class UserFilter(AdminQuery):
    """Which users, and in which order."""

    group: str | None = None
    source: Literal["config", "database"] | None = None
    disabled: bool | None = None
    q: str | None = Field(default=None, description="A text that the name holds, whatever its case.")
    sort: UserSort = Field(default="name", description="By what; with - in front from the last, or the most, on.")


async def _entry(request: AdminRequest, people: People, name: str) -> dict[str, Any]:
    """Return a user with the limits that hold for them alone, and what is left of each."""
    row, user = people.user_rows.get(name), people.user(name)
    is_configured = name in people.overlay.file.users
    made_by = None if row is None or is_configured else row["made_by"]
    end_ms = moment_ms(user.expires_at)
    return {
        "name": name,
        "group": people.group_of(name),
        "disabled": user.disabled,
        "expires_at": moment_text(end_ms),
        "expired": end_ms is not None and end_ms <= request.now_ms,
        "settings": words_of(user),
        "limits": await limit_entries(request, people, _limits(people, name, made_by)),
        "tokens": people.token_counts[name] + len(user.all_tokens),
        "source": CONFIG if is_configured else DATABASE,
        "in_database": row is not None,
        "made_by": made_by,
        "created_at": None if row is None else moment_text(row["created_ms"]),
    }


def _limits(people: People, name: str, made_by: str | None) -> list[HeldLimit]:
    """Return what holds for a user alone, each with the path of where it stands."""
    settings, user, scope = people.overlay.settings, people.user(name), LimitScope("user", name)
    template = None if made_by is None else settings.end_users
    blocks: list[tuple[Limits, SettingPath]] = [
        (user.limits, ("users", name, "limits") if name in settings.users else ())
    ]
    if template is not None:
        blocks.append((template.limits, ("end_users", "limits")))
    blocks.append((settings.defaults.limits, ("defaults", "limits")))
    paths: dict[object, SettingPath] = {}
    for limits, at in blocks:
        for one in held(scope, limits, at):
            paths.setdefault(one.limit, one.path)
    return [HeldLimit(scope, limit, paths[limit]) for limit in user_limits(user, template, settings)]


def _sorted_page(request: AdminRequest, people: People, names: Sequence[str]) -> tuple[list[str], str | None]:
    """Return the page of users that is asked for; names: in order. Those in no group come last both ways."""
    query: UserFilter = request.query
    word, is_down = query.sort.removeprefix("-"), query.sort.startswith("-")
    if (word, is_down) == ("name", False):
        return request.page.of_ordered(names, lambda name: (name,))

    def key(name: str) -> tuple[str | int, ...]:
        if word == "tokens":
            return people.token_counts[name] + len(people.user(name).all_tokens), name
        group = people.group_of(name) if word == "group" else None
        return (name,) if word == "name" else (int((group is None) is not is_down), group or "", name)

    return request.page.of_sorted(sorted(names, key=key, reverse=is_down), key, is_down=is_down)


async def _list(request: AdminRequest) -> AdminAnswer:
    query: UserFilter = request.query
    people = await request.deps.people.read()
    names = [
        name
        for name in people.names
        if (query.group is None or query.group == people.group_of(name))
        and (query.source is None or query.source == (CONFIG if name in people.overlay.file.users else DATABASE))
        and (query.q is None or query.q.casefold() in name.casefold())
        and (query.disabled is None or query.disabled == people.user(name).disabled)
    ]
    page, cursor = _sorted_page(request, people, names)
    entries, turn = [], LoopTurn()
    for name in page:
        entries.append(await _entry(request, people, name))
        await turn.rest()
    return AdminAnswer(entries, cursor)


async def _show(request: AdminRequest) -> AdminAnswer:
    found = await _found(request, request.path["name"])
    steady = {**found, "expired": None, "limits": [unchanging(limit) for limit in found["limits"]]}
    return AdminAnswer(found, etag=etag_of(steady))


async def _found(request: AdminRequest, name: str) -> dict[str, Any]:
    people = await request.deps.people.read()
    if name not in people.overlay.settings.users and name not in people.user_rows:
        raise no_user(name)
    return await _entry(request, people, name)


async def _add(request: AdminRequest) -> AdminAnswer:
    body: NewUser = request.body
    token = None if body.token is None else _first_token(body.token, request.now_ms)
    people = await request.deps.people.read()
    if body.name not in people.user_rows:
        _check_open(
            people, body.name, body.model_dump(include={"group", "settings"}, exclude_none=True), request.now_ms
        )
    fields = {"name": body.name, "group": body.group, "settings": body.settings, "token": token}
    made = (await request.change("users.create", fields))["token"]
    found = await _found(request, body.name)
    return AdminAnswer(found if made is None else {**found, "token": made["token"], "token_id": made["id"]})


def _first_token(token: FirstToken, now_ms: int) -> dict[str, Any]:
    expires_ms = moment_ms(token.expires_at)
    check_ahead(expires_ms, "token.expires_at", now_ms)
    return {"name": token.name, "expires_ms": expires_ms, "trusted": token.trusted}


def _check_open(people: People, name: str, changes: Mapping[str, Any], now_ms: int) -> None:
    """Raise for what nobody can have, what the file decides, and an end that has passed."""
    settings = changes.get("settings", {})
    check_settings(without_none(settings))
    own = people.overlay.file.users.get(name)
    given = {"group": changes["group"]} if "group" in changes else {}
    people.check_open(own, {**given, **settings}, ("users", name))
    people.check_presets(settings)
    if settings.get("limits"):
        people.check_terms(Limits.read(settings["limits"]).all)
    if own is not None and own.disabled and changes.get("disabled") is False:
        people.refuse_decided(("users", name, "disabled"))
    if settings.get("expires_at") is not None:
        end_ms = moment_ms(User.read({"expires_at": settings["expires_at"]}).expires_at)
        check_ahead(end_ms, "settings.expires_at", now_ms)


async def _set(request: AdminRequest) -> AdminAnswer:
    body: UserChanges = request.body
    name, changes = request.path["name"], body.model_dump(exclude_unset=True)
    people = await request.deps.people.read()
    is_configured = name in people.overlay.file.users
    if not is_configured and name not in people.user_rows:
        raise no_user(name)
    _check_open(people, name, changes, request.now_ms)
    if changes:
        await request.change("users.patch", {"name": name, "changes": changes, "is_configured": is_configured})
    return AdminAnswer(await _found(request, name))


async def _remove(request: AdminRequest) -> AdminAnswer:
    found, name = await _found(request, request.path["name"]), request.path["name"]
    if not found["in_database"]:
        (await request.deps.people.read()).refuse_decided(("users", name))
    await request.change("users.remove", {"name": name})
    return AdminAnswer(found)


ROUTES = (
    AdminRoute("GET", "/users", _list, "List users", UserEntry, query=UserFilter, is_list=True),
    AdminRoute("POST", "/users", _add, "Add a user, with a first token or none", MadeUser, body=NewUser, status=201),
    AdminRoute("GET", "/users/{name}", _show, "Show a user", UserEntry),
    AdminRoute("PATCH", "/users/{name}", _set, "Change a user", UserEntry, body=UserChanges),
    AdminRoute("DELETE", "/users/{name}", _remove, "Remove a user and their tokens; their requests stay", UserEntry),
)
