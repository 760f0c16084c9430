"""/admin/v1/tokens: what users authenticate with."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from proxy.config.overlay import CONFIG
from proxy.config.schema import Settings
from proxy.core.errors import CallerError
from proxy.storage.users import no_token, no_user
from proxy.web.admin.moment import Moment, MomentText, check_ahead, moment_ms, moment_text
from proxy.web.admin.route import AdminAnswer, AdminBody, AdminQuery, AdminRequest, AdminRoute, ShownOnce

_OVERLAP_MAX_S = 366 * 86_400


class TokenEntry(BaseModel):
    """A token without the token itself. hint: its last four characters. trusted: it may name end users."""

    id: str
    user: str
    name: str
    hint: str | None
    disabled: bool
    trusted: bool
    source: Literal["config", "database"]
    created_at: MomentText | None
    expires_at: MomentText | None


class MadeToken(TokenEntry):
    """A token that was just made: the only answer that ever holds it."""

    token: ShownOnce


class NewToken(AdminBody):
    """A token to make."""

    user: str
    name: str | None = None
    expires_at: Moment | None = None
    trusted: bool = False


class TokenChanges(AdminBody):
    """What to change of a token; what is missing stays."""

    disabled: bool = False
    trusted: bool = False
    expires_at: Moment | None = None


class TokenRotation(AdminBody):
    """How to replace a token. overlap_s: how long the old one stays valid."""

    overlap_s: int = Field(default=0, ge=0, le=_OVERLAP_MAX_S)


class TokenFilter(AdminQuery):
    """Whose tokens."""

    user: str | None = None


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("id", "user", "name", "hint", "disabled", "trusted", "source")
    times = {"created_at": moment_text(row["created_ms"]), "expires_at": moment_text(row["expires_ms"])}
    token = {"token": row["token"]} if "token" in row else {}
    return {**{name: row[name] for name in names}, **times, **token}


def _configured(settings: Settings) -> list[dict[str, Any]]:
    return [
        {
            "id": token.label,
            "user": name,
            "name": token.label,
            "hint": None,
            "disabled": token.disabled,
            "trusted": token.trusted,
            "source": "config",
            "created_ms": None,
            "expires_ms": moment_ms(token.expires_at),
        }
        for name, user in settings.users.items()
        for token in user.all_tokens
    ]


async def _all(request: AdminRequest) -> list[dict[str, Any]]:
    services = request.deps.services
    rows = await request.read(services.reports.list_tokens)
    return [*_configured(services.live.current.settings), *rows]


async def _list(request: AdminRequest) -> AdminAnswer:
    query: TokenFilter = request.query
    tokens = [token for token in await _all(request) if query.user in (None, token["user"])]
    page, cursor = request.page.of(tokens, lambda token: (token["user"], token["source"], token["id"]))
    return AdminAnswer(await request.written(_shown, page), cursor)


async def _show(request: AdminRequest) -> AdminAnswer:
    return AdminAnswer(await _found(request))


async def _found(request: AdminRequest) -> dict[str, Any]:
    token_id = request.path["id"]
    for token in await _all(request):
        if token["id"] == token_id:
            return _shown(token)
    raise no_token(token_id)


async def _stored(request: AdminRequest) -> dict[str, Any]:
    """Return a token of the database; raises where the file has it."""
    found = await _found(request)
    if found["source"] == CONFIG:
        place = (await request.deps.people.read()).place_of(("users", found["user"]))
        text = f"Token {found['id']!r} is defined in the configuration ({place}): change users.{found['user']} there."
        raise CallerError(409, "set_in_file", text, param=f"users.{found['user']}")
    return found


async def _add(request: AdminRequest) -> AdminAnswer:
    body: NewToken = request.body
    expires_ms = moment_ms(body.expires_at)
    check_ahead(expires_ms, "expires_at", request.now_ms)
    people = await request.deps.people.read()
    is_configured = body.user in people.overlay.file.users
    if not is_configured and body.user not in people.user_rows:
        raise no_user(body.user)
    fields = {"user": body.user, "name": body.name, "expires_ms": expires_ms, "trusted": body.trusted}
    return AdminAnswer(_shown(await request.change("tokens.create", {**fields, "is_configured": is_configured})))


async def _set(request: AdminRequest) -> AdminAnswer:
    body: TokenChanges = request.body
    changes = body.model_dump(exclude_unset=True)
    if "expires_at" in changes:
        changes["expires_ms"] = moment_ms(changes.pop("expires_at"))
        check_ahead(changes["expires_ms"], "expires_at", request.now_ms)
    found = await _stored(request)
    if changes:
        await request.change("tokens.set", {"id": found["id"], "changes": changes})
    return AdminAnswer(await _found(request))


async def _rotate(request: AdminRequest) -> AdminAnswer:
    body: TokenRotation = request.body
    found = await _stored(request)
    fields = {"id": found["id"], "overlap_ms": body.overlap_s * 1000}
    return AdminAnswer(_shown(await request.change("tokens.rotate", fields)))


async def _remove(request: AdminRequest) -> AdminAnswer:
    found = await _stored(request)
    await request.change("tokens.remove", {"id": found["id"]})
    return AdminAnswer(found)


ROUTES = (
    AdminRoute("GET", "/tokens", _list, "List tokens", TokenEntry, query=TokenFilter, is_list=True),
    AdminRoute(
        "POST", "/tokens", _add, "Make a token; the answer holds it, once", MadeToken, body=NewToken, status=201
    ),
    AdminRoute("GET", "/tokens/{id}", _show, "Show a token", TokenEntry),
    AdminRoute("PATCH", "/tokens/{id}", _set, "Change a token", TokenEntry, body=TokenChanges),
    AdminRoute("DELETE", "/tokens/{id}", _remove, "Remove a token for good", TokenEntry),
    AdminRoute(
        "POST", "/tokens/{id}/rotate", _rotate, "Make a successor of a token", MadeToken, body=TokenRotation, status=201
    ),
)
