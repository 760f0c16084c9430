"""/admin/v1/operators: who may use this API by a token of their own."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from proxy.storage.operators import no_operator
from proxy.web.admin.moment import Moment, MomentText, moment_ms, moment_text
from proxy.web.admin.route import AdminAnswer, AdminBody, AdminRequest, AdminRoute, ShownOnce

RoleName = Literal["viewer", "admin"]


class OperatorEntry(BaseModel):
    """An operator. hint: the last four characters of their token. rotated_at: when it was replaced last."""

    name: str
    role: RoleName
    hint: str
    disabled: bool
    created_at: MomentText
    rotated_at: MomentText | None
    expires_at: MomentText | None


class OperatorWithToken(OperatorEntry):
    """An operator with a new token: the only answer that ever holds it."""

    token: ShownOnce


class NewOperator(AdminBody):
    """An operator to add. A viewer reads everything here and changes nothing."""

    name: str = Field(description="1 to 64 letters, digits, and . _ @ + - only; not admin_token.")
    role: RoleName = "viewer"
    expires_at: Moment | None = None


class OperatorChanges(AdminBody):
    """What to change of an operator; what is missing stays."""

    role: RoleName = "viewer"
    expires_at: Moment | None = None
    disabled: bool = False


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    times = {f"{name}_at": moment_text(row[f"{name}_ms"]) for name in ("created", "rotated", "expires")}
    token = {"token": row["token"]} if "token" in row else {}
    return {**{name: row[name] for name in ("name", "role", "hint", "disabled")}, **times, **token}


async def _all(request: AdminRequest) -> list[dict[str, Any]]:
    return [_shown(row) for row in await request.read(request.deps.services.reports.list_operators)]


async def _list(request: AdminRequest) -> AdminAnswer:
    return AdminAnswer(*request.page.of(await _all(request), lambda operator: (operator["name"],)))


async def _show(request: AdminRequest) -> AdminAnswer:
    name = request.path["name"]
    for operator in await _all(request):
        if operator["name"] == name:
            return AdminAnswer(operator)
    raise no_operator(name)


async def _add(request: AdminRequest) -> AdminAnswer:
    body: NewOperator = request.body
    fields = {"name": body.name, "role": body.role, "expires_ms": moment_ms(body.expires_at)}
    return AdminAnswer(_shown(await request.change("operators.add", fields)))


async def _set(request: AdminRequest) -> AdminAnswer:
    body: OperatorChanges = request.body
    changes = body.model_dump(exclude_unset=True)
    if "expires_at" in changes:
        changes["expires_ms"] = moment_ms(changes.pop("expires_at"))
    fields = {"name": request.path["name"], "changes": changes}
    return AdminAnswer(_shown(await request.change("operators.set", fields)))


async def _rotate(request: AdminRequest) -> AdminAnswer:
    return AdminAnswer(_shown(await request.change("operators.rotate", {"name": request.path["name"]})))


async def _remove(request: AdminRequest) -> AdminAnswer:
    return AdminAnswer(_shown(await request.change("operators.remove", {"name": request.path["name"]})))


ROUTES = (
    AdminRoute("GET", "/operators", _list, "List operators", OperatorEntry, is_list=True),
    AdminRoute(
        "POST",
        "/operators",
        _add,
        "Add an operator; the answer holds their token, once",
        OperatorWithToken,
        body=NewOperator,
        status=201,
    ),
    AdminRoute("GET", "/operators/{name}", _show, "Show an operator", OperatorEntry),
    AdminRoute("PATCH", "/operators/{name}", _set, "Change an operator", OperatorEntry, body=OperatorChanges),
    AdminRoute("DELETE", "/operators/{name}", _remove, "Remove an operator", OperatorEntry),
    AdminRoute("POST", "/operators/{name}/rotate", _rotate, "Replace an operator's token at once", OperatorWithToken),
)
