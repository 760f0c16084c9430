"""/admin/v1/connections: the providers as requests meet them, their breakers, keys, queues and connections."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from proxy.core.errors import CallerError
from proxy.policy.breaker import BreakerView
from proxy.policy.key_ring import KeyView
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.route import AdminAnswer, AdminRequest, AdminRoute


class BreakerEntry(BaseModel):
    """A breaker. attempts, errors: of its window. retry_in_s: how long it still holds requests back."""

    state: Literal["closed", "half_open", "open"]
    failures_in_row: int
    attempts: int
    errors: int
    retry_in_s: float | None
    opened_count: int


class ModelBreaker(BreakerEntry):
    """The breaker of one model, from its first failure on."""

    model: str


class KeyState(BaseModel):
    """A key as it is used now."""

    name: str
    valid: bool = Field(description="Its dates let it be used.")
    set_aside_until: MomentText | None = Field(description="Until when no request takes it.")
    reason: str | None
    models_set_aside: int


class PoolEntry(BaseModel):
    """Connections of this proxy to the provider."""

    open: int
    idle: int
    active: int
    connecting: int


class ConnectionEntry(BaseModel):
    """A provider. running, waiting: attempts, where max_concurrency sets how many run at once."""

    name: str
    kind: str
    base_url: str
    outbound_proxy: str | None
    breaker: BreakerEntry
    models: list[ModelBreaker]
    keys: list[KeyState]
    retries_left: int
    running: int | None
    waiting: int | None
    pool: PoolEntry
    models_listed: int
    models_fetched_at: MomentText | None
    models_problem: str | None


def _breaker(view: BreakerView) -> dict[str, Any]:
    return {
        "state": view.state,
        "failures_in_row": view.failures_in_row,
        "attempts": view.attempts,
        "errors": view.errors,
        "retry_in_s": None if view.retry_in_s is None else round(view.retry_in_s, 1),
        "opened_count": view.opened_count,
    }


def _key(view: KeyView) -> dict[str, Any]:
    return {
        "name": view.name,
        "valid": view.valid,
        "set_aside_until": moment_text(view.set_aside_until_ms),
        "reason": view.reason,
        "models_set_aside": view.models_set_aside,
    }


def _all(request: AdminRequest) -> list[dict[str, Any]]:
    services = request.deps.services
    views, found = services.health.views(), []
    for name, row in services.live.current.providers.items():
        view, listing = views[name], services.model_lists.listing(name)
        found.append(
            {
                "name": name,
                "kind": row.kind,
                "base_url": row.base_url,
                "outbound_proxy": None if row.network.proxy is None else row.network.proxy.url,
                "breaker": _breaker(view.breaker),
                "models": [{"model": model, **_breaker(each)} for model, each in sorted(view.models.items())],
                "keys": [_key(key) for key in view.keys],
                "retries_left": view.retries_left,
                "running": view.running,
                "waiting": view.waiting,
                "pool": row.transport.connections()._asdict(),
                "models_listed": len(listing.models),
                "models_fetched_at": moment_text(listing.fetched_ms),
                "models_problem": listing.problem,
            }
        )
    return found


async def _list(request: AdminRequest) -> AdminAnswer:
    return AdminAnswer(*request.page.of(_all(request), lambda provider: (provider["name"],)))


async def _show(request: AdminRequest) -> AdminAnswer:
    name = request.path["name"]
    for provider in _all(request):
        if provider["name"] == name:
            return AdminAnswer(provider)
    raise CallerError(404, "not_found", f"There is no provider {name!r} in the configuration in force.")


ROUTES = (
    AdminRoute("GET", "/connections", _list, "List the providers as they are now", ConnectionEntry, is_list=True),
    AdminRoute("GET", "/connections/{name}", _show, "Show one provider as it is now", ConnectionEntry),
)
