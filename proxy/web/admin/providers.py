"""/admin/v1/providers: where requests go, and the switch of each."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from proxy.config.overlay import CONFIG
from proxy.config.setting_path import written
from proxy.core.errors import CallerError
from proxy.web.admin.moment import MomentText, moment_text
from proxy.web.admin.route import AdminAnswer, AdminBody, AdminRequest, AdminRoute


class ProviderEntry(BaseModel):
    """A provider of the configuration. Its keys are under /keys, its breakers under /connections."""

    name: str
    kind: str
    base_url: str
    is_first: bool = Field(description="Models without a provider's name go to it.")
    enabled: bool
    source: Literal["config", "database"] = Field(description="Who decides enabled.")
    models: int = Field(description="How many models its list has.")
    fetched_at: MomentText | None = Field(description="When the list was last accepted.")
    problem: str | None = Field(description="Why the latest list is not in force, or only in part.")


class ProviderChanges(AdminBody):
    """The switch; null leaves it to the file."""

    enabled: bool | None = None


def _all(request: AdminRequest) -> dict[str, dict[str, Any]]:
    services = request.deps.services
    snapshot = services.live.current
    first, overlay = next(iter(snapshot.providers), None), snapshot.overlay
    found = {}
    for name, settings in snapshot.settings.providers.items():
        listing = services.model_lists.listing(name)
        found[name] = {
            "name": name,
            "kind": settings.kind,
            "base_url": str(settings.base_url),
            "is_first": name == first,
            "enabled": settings.enabled,
            "source": CONFIG if overlay is None else overlay.source(("providers", name, "enabled")),
            "models": len(listing.models),
            "fetched_at": moment_text(listing.fetched_ms),
            "problem": listing.problem,
        }
    return found


def _found(request: AdminRequest) -> dict[str, Any]:
    name, providers = request.path["name"], _all(request)
    if name not in providers:
        raise CallerError(404, "not_found", f"There is no provider {name!r}. There are: {', '.join(providers)}.")
    return providers[name]


async def _list(request: AdminRequest) -> AdminAnswer:
    return AdminAnswer(*request.page.of([*_all(request).values()], lambda entry: (entry["name"],)))


async def _show(request: AdminRequest) -> AdminAnswer:
    return AdminAnswer(_found(request), etag=None)


async def _set(request: AdminRequest) -> AdminAnswer:
    body: ProviderChanges = request.body
    name = _found(request)["name"]
    changes: Mapping[str, Any] = body.model_dump(exclude_unset=True)
    people = await request.deps.people.read()
    if body.enabled is True and not people.overlay.file.providers[name].enabled:
        people.refuse_decided(("providers", name, "enabled"))
    if not changes:
        raise CallerError(422, "invalid_field", f"{written(('enabled',))} is missing.", param="enabled")
    enabled = None if body.enabled else body.enabled  # enabled is what one is of which nothing is said
    await request.change("providers.set", {"name": name, "changes": {"enabled": enabled}})
    return AdminAnswer(_found(request))


ROUTES = (
    AdminRoute("GET", "/providers", _list, "List providers", ProviderEntry, is_list=True),
    AdminRoute("GET", "/providers/{name}", _show, "Show a provider", ProviderEntry),
    AdminRoute("PATCH", "/providers/{name}", _set, "Enable or disable a provider", ProviderEntry, body=ProviderChanges),
)
