"""/admin/v1/keys: keys of providers, and those that users and groups brought. No answer ever holds one."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from proxy.config.key_overlay import MANAGEMENT, is_management
from proxy.config.setting_path import written
from proxy.config.show import origin
from proxy.core.errors import CallerError
from proxy.core.secret import Secret
from proxy.policy.key_ring import KeyFacts
from proxy.policy.nearest import nearest
from proxy.providers.account.management_check import check_management_key
from proxy.providers.key import Key
from proxy.providers.key_check import KeyCheck, check_key
from proxy.providers.provider import ProviderRow
from proxy.storage.provider_keys import key_id
from proxy.storage.users import UserError
from proxy.web.admin.etag import etag_of
from proxy.web.admin.key_list import HeldKey, all_keys, entry, find_key, own_name
from proxy.web.admin.moment import Moment, MomentText
from proxy.web.admin.route import AdminAnswer, AdminBody, AdminQuery, AdminRequest, AdminRoute
from proxy.web.admin.secret_text import SecretText

KeyState = Literal[
    "in use", "disabled", "not opened", "not yet", "expired", "suspended", "used up", "hidden", "no provider"
]
_QUOTED_MAX_CHARS = 24
_BY_ITSELF = ("state", "suspended_until_at", "suspended_because", "draining")  # changes without a change of the key


class KeyEntry(BaseModel):
    """A key, without the key. hint: its last four characters. user, group: whose own it is; both null: anybody's.

    state: in use; disabled; not opened (problem says why); not yet and expired by its dates; suspended after the
    provider refused it; used up by its own limits; hidden by a key of the same name in the configuration; no provider
    of its name. draining: open requests that may still use its earlier value.
    """

    id: str
    provider: str
    name: str
    user: str | None
    group: str | None
    hint: str
    disabled: bool
    management: bool = Field(description="It reads the account alone, and no request is sent with it.")
    source: Literal["config", "database"]
    state: KeyState
    problem: str | None
    priority: int
    weight: int
    limits: dict[str, list[str]]
    valid_from_at: MomentText | None
    valid_until_at: MomentText | None
    suspended_until_at: MomentText | None
    suspended_because: str | None
    draining: int
    created_at: MomentText | None
    rotated_at: MomentText | None


class KeyCheckResult(BaseModel):
    """What a provider says of a key. accepted: null where that is not known."""

    accepted: bool | None
    status: int | None
    said: str


class CheckedKey(KeyEntry):
    """A key that was just stored. check: null where the provider was not asked.

    master_key_made: the file of the master key, where this key was the first secret; keep a copy of it elsewhere.
    """

    check: KeyCheckResult | None
    master_key_made: str | None = None


class KeySettings(AdminBody):
    """Settings of a key, as in the configuration."""

    priority: int | None = Field(default=None, ge=0, le=1000)
    weight: int | None = Field(default=None, ge=1, le=10**6)
    limits: dict[str, list[str] | str] | None = None
    valid_from_at: Moment | None = None
    valid_until_at: Moment | None = None


class NewKey(KeySettings):
    """A key to add. name: main, or key-2 and so on, unless given. test: ask the provider first, and store no bad key.

    user or group: their requests to the provider use this key alone. management: it reads the account and its bill, and
    no request is sent with it.
    """

    provider: str
    secret: SecretText
    name: str | None = None
    user: str | None = None
    group: str | None = None
    management: bool = False
    test: bool = True


class KeyPatch(KeySettings):
    """What to change of a key; what is missing stays, null removes. Of a key of the configuration: disabled alone."""

    disabled: bool | None = None


class KeyRotation(AdminBody):
    """The key that takes the place of one. test: ask the provider first, and store no bad key."""

    secret: SecretText
    test: bool = True


class KeyFilter(AdminQuery):
    """Which keys."""

    provider: str | None = None
    user: str | None = None
    group: str | None = None


async def _list(request: AdminRequest) -> AdminAnswer:
    query: KeyFilter = request.query
    wanted = {name: value for name, value in query.model_dump().items() if value is not None}
    entries = [
        entry(held, request.deps, request.now_ms)
        for held in await all_keys(request)
        if all(held.row[name] == value for name, value in wanted.items())
    ]
    return AdminAnswer(*request.page.of(entries, lambda each: (each["provider"], each["name"], each["source"])))


async def _show(request: AdminRequest) -> AdminAnswer:
    shown = entry(await find_key(request), request.deps, request.now_ms)
    return AdminAnswer(shown, etag=etag_of({name: shown[name] for name in shown if name not in _BY_ITSELF}))


async def _add(request: AdminRequest) -> AdminAnswer:
    body: NewKey = request.body
    provider = _provider(request, body.provider)
    await _check_owner(request, body)
    held = await all_keys(request)
    name = body.name or _free_name(body, held)
    for other in held:
        if other.path and (other.row["provider"], other.row["name"]) == (provider.name, name):
            raise _in_file(request, other)
    _check_new(held, body)
    check = await _checked(request, provider, body.secret, body.management) if body.test else None
    fields = {"provider": provider.name, "name": name, "user": body.user, "group": body.group, "secret": body.secret}
    made = await request.change("keys.add", {**fields, "settings": _settings_in(body)})
    shown = await _shown(request, key_id(provider.name, name), check)
    return AdminAnswer({**shown, "master_key_made": made["master_key_made"]})


def _check_new(held: Iterable[HeldKey], body: NewKey) -> None:
    """Raise UserError where a provider has this very key already: its limits would be counted twice."""
    for other in held:
        row = other.row
        is_same_use = (row["user"], row["group"], is_management(row)) == (body.user, body.group, body.management)
        if is_same_use and row["provider"] == body.provider and row["secret"] == body.secret:
            text = f"This is the key {row['name']!r} of {body.provider} already. Change that one: tollkeeper keys set"
            raise UserError(f"{text} {body.provider} {row['name']}", "secret")


async def _set(request: AdminRequest) -> AdminAnswer:
    body: KeyPatch = request.body
    held, settings = await find_key(request), _given(body)
    fields = {"provider": held.row["provider"], "name": held.row["name"]}
    if held.path:
        if settings:
            raise _in_file(request, held)
        if body.disabled is not None:
            _check_stoppable(request, held)
            await request.change("keys.stop", {**fields, "stopped": body.disabled})
    else:
        await request.change("keys.set", {**fields, "settings": settings, "disabled": body.disabled})
    return await _show(request)


async def _test(request: AdminRequest) -> AdminAnswer:
    held = await find_key(request)
    secret: Secret | None = held.row["secret"]
    if secret is None:
        raise CallerError(409, "key_not_opened", f"{held.id} cannot be opened: {held.row['problem']}. Set it anew.")
    provider = _provider(request, held.row["provider"])
    return AdminAnswer(_told(await _check(request, provider, secret, is_management(held.row))))


async def _rotate(request: AdminRequest) -> AdminAnswer:
    body: KeyRotation = request.body
    held = await find_key(request)
    if held.path:
        raise _in_file(request, held)
    provider = _provider(request, held.row["provider"])
    management = is_management(held.row)
    check = await _checked(request, provider, body.secret, management) if body.test else None
    fields = {"provider": provider.name, "name": held.row["name"], "secret": body.secret}
    await request.change("keys.rotate", fields)
    return AdminAnswer(await _shown(request, held.id, check))


async def _remove(request: AdminRequest) -> AdminAnswer:
    held = await find_key(request)
    if held.path:
        raise _in_file(request, held)
    shown = entry(held, request.deps, request.now_ms)
    await request.change("keys.remove", {"provider": held.row["provider"], "name": held.row["name"]})
    return AdminAnswer(shown)


async def _shown(request: AdminRequest, id_: str, check: KeyCheck | None) -> dict[str, Any]:
    held = next(held for held in await all_keys(request) if held.id == id_ and not held.path)
    return {**entry(held, request.deps, request.now_ms), "check": None if check is None else _told(check)}


async def _check(request: AdminRequest, provider: ProviderRow, secret: Secret, management: bool) -> KeyCheck:
    if management:
        return await check_management_key(provider, secret, request.deps.services.clock)
    return await check_key(provider, _key_of(secret))


async def _checked(request: AdminRequest, provider: ProviderRow, secret: Secret, management: bool) -> KeyCheck:
    """Return what the provider says of a key; raises CallerError unless it accepts it."""
    found = await _check(request, provider, secret, management)
    if not found.accepted:
        code = "key_refused" if found.accepted is False else "key_not_checked"
        raise CallerError(
            422, code, f"{found.said}. Nothing was stored. To store it all the same: test: false (--no-test)."
        )
    return found


def _key_of(secret: Secret) -> Key:
    return Key(KeyFacts("new"), secret)


def _told(check: KeyCheck) -> dict[str, Any]:
    return check._asdict()


def _settings_in(body: NewKey) -> dict[str, Any]:
    return {**_given(body), **({MANAGEMENT: True} if body.management else {})}


def _given(body: KeySettings) -> dict[str, Any]:
    """Return the settings that a body gives, as the configuration writes them; None for one that is removed."""
    fields = {name: getattr(body, name) for name in body.model_fields_set & KeySettings.model_fields.keys()}
    return {
        name.removesuffix("_at"): value.isoformat() if isinstance(value, datetime) else value
        for name, value in fields.items()
        if isinstance(body, KeyPatch) or value is not None
    }


def _provider(request: AdminRequest, name: str) -> ProviderRow:
    providers = request.deps.services.live.current.providers
    if name not in providers:
        close = nearest(name, providers)
        hint = f" Did you mean {close}?" if close else f" There are: {', '.join(providers)}."
        which = f"{name!r}" if len(name) <= _QUOTED_MAX_CHARS else "of this name"  # it may be the key itself, misplaced
        raise CallerError(422, "invalid_field", f"provider: there is no provider {which}.{hint}", param="provider")
    return providers[name]


async def _check_owner(request: AdminRequest, body: NewKey) -> None:
    settings = request.deps.services.live.current.settings
    if body.user is not None and body.group is not None:
        raise CallerError(422, "invalid_field", "group: a key is a user's or a group's own, not both's.", param="group")
    if body.group is not None and body.group not in settings.groups:
        raise CallerError(422, "invalid_field", f"group: there is no group {body.group!r}.", param="group")
    own = None if body.user is None else settings.users.get(body.user)
    if own is not None and body.provider in own.provider_keys:
        raise _set_in_file(request, ("users", str(body.user), "provider_keys", body.provider))
    if body.user is not None and own is None and not await _is_user(request, body.user):
        raise CallerError(422, "invalid_field", f"user: there is no user {body.user!r}.", param="user")


async def _is_user(request: AdminRequest, name: str) -> bool:
    """Return whether the database has a user, be it an end user."""
    rows = await request.read(request.deps.services.reports.list_users)
    return any(row["name"] == name for row in rows)


def _free_name(body: NewKey, held: list[HeldKey]) -> str:
    """Return the name that a key without one gets."""
    owner = body.user or body.group
    if owner is not None:
        return own_name(owner)
    if body.management:
        return MANAGEMENT
    taken = {other.row["name"] for other in held if other.row["provider"] == body.provider}
    return next(name for name in ("main", *(f"key-{n}" for n in range(2, len(taken) + 3))) if name not in taken)


def _check_stoppable(request: AdminRequest, held: HeldKey) -> None:
    if held.row["user"] is not None:  # the user can be disabled; without their own key somebody else would pay
        raise _in_file(request, held)


def _in_file(request: AdminRequest, held: HeldKey) -> CallerError:
    return _set_in_file(request, held.path)


def _set_in_file(request: AdminRequest, path: tuple[str | int, ...]) -> CallerError:
    place = origin(request.deps.services.live.loaded, path)
    return CallerError(
        409,
        "set_in_file",
        f"{written(path)} is set in {'the configuration' if place == 'default' else place}, and the file takes"
        " precedence. Change it there.",
        param=written(path),
    )


ROUTES = (
    AdminRoute("GET", "/keys", _list, "List keys of providers", KeyEntry, query=KeyFilter, is_list=True),
    AdminRoute("POST", "/keys", _add, "Add a key; the provider is asked first", CheckedKey, body=NewKey, status=201),
    AdminRoute("GET", "/keys/{id}", _show, "Show a key, without the key itself", KeyEntry),
    AdminRoute("PATCH", "/keys/{id}", _set, "Change a key's settings, or disable it", KeyEntry, body=KeyPatch),
    AdminRoute("DELETE", "/keys/{id}", _remove, "Remove a key for good", KeyEntry),
    AdminRoute("POST", "/keys/{id}/test", _test, "Ask the provider about a key", KeyCheckResult),
    AdminRoute(
        "POST", "/keys/{id}/rotate", _rotate, "Put another key in the place of one", CheckedKey, body=KeyRotation
    ),
)
