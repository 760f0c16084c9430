"""/admin/v1/presets: the presets of the configuration in force; they are changed in its file."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from proxy.config.preset import Preset
from proxy.config.show import block_json
from proxy.core.errors import CallerError
from proxy.web.admin.route import AdminAnswer, AdminRequest, AdminRoute


class PresetEntry(BaseModel):
    """A preset. targets: what it calls, best first, as provider/model; a static text is "static"."""

    name: str
    targets: list[str]
    select: Literal["ordered", "cheapest", "fastest", "balanced"]
    use_case: str | None
    settings: dict[str, Any] = Field(description="All of it, in the words of the configuration.")


def _entry(name: str, preset: Preset) -> dict[str, Any]:
    return {
        "name": name,
        "targets": [target.target or "static" for target in preset.targets],
        "select": preset.select,
        "use_case": preset.use_case,
        "settings": block_json(preset),
    }


async def _list(request: AdminRequest) -> AdminAnswer:
    presets = request.deps.services.live.current.settings.presets
    entries = [_entry(name, preset) for name, preset in presets.items()]
    return AdminAnswer(*request.page.of(entries, lambda entry: (entry["name"],)))


async def _show(request: AdminRequest) -> AdminAnswer:
    name = request.path["name"]
    preset = request.deps.services.live.current.settings.presets.get(name)
    if preset is None:
        raise CallerError(404, "not_found", f"There is no preset {name!r} in the configuration in force.")
    return AdminAnswer(_entry(name, preset))


ROUTES = (
    AdminRoute("GET", "/presets", _list, "List presets", PresetEntry, is_list=True),
    AdminRoute("GET", "/presets/{name}", _show, "Show a preset", PresetEntry),
)
