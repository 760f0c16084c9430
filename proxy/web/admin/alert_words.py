"""What the resources of alerts have in common."""

from typing import Any, Literal

from proxy.config.alerts import LOG, AlertDestination, AlertRule, Alerts
from proxy.config.overlay import Overlay
from proxy.config.show import block_json
from proxy.core.errors import CallerError
from proxy.policy.nearest import nearest
from proxy.storage.alerts import DESTINATION_SECRETS, AlertRows
from proxy.web.admin.route import AdminRequest

Source = Literal["config", "database"]
IN_ITS_WORDS = "As in the configuration, in its words."


def alerts_of(request: AdminRequest) -> Alerts:
    """Return what is in force, of the file and of the database."""
    alerts: Alerts = request.deps.services.live.current.settings.alerts
    return alerts


async def alert_rows(request: AdminRequest) -> AlertRows:
    """Return where rules stand, by the ledger."""
    return await request.read(request.deps.services.reports.alerts)


def overlay_of(request: AdminRequest) -> Overlay:
    """Return the settings of the file with what the database lays over them."""
    overlay = request.deps.services.live.current.overlay
    assert overlay is not None, "only tests build a snapshot without"
    return overlay


def source_of(request: AdminRequest, kind: str, name: str) -> str:
    """Return config or database; kind: rules or destinations."""
    return overlay_of(request).source(("alerts", kind, name))


async def check_stored(request: AdminRequest, kind: str, name: str) -> None:
    """Raise CallerError where the file has a rule or destination of this name."""
    if name in getattr(overlay_of(request).file.alerts, kind):
        (await request.deps.people.read()).refuse_decided(("alerts", kind, name))


def words_of_block(block: AlertRule | AlertDestination) -> dict[str, Any]:
    """Return what was set of a block, in the words of the configuration; secrets are left out."""
    plain = block_json(block)
    return {name: plain[name] for name in sorted(block.given) if name not in DESTINATION_SECRETS}


def check_named(request: AdminRequest, rule: AlertRule) -> None:
    """Raise CallerError where a rule tells somebody whom there is not, or sends requests by no preset."""
    presets = request.deps.services.live.current.settings.presets
    preset = "" if rule.effect is None else rule.effect.preset
    if preset and preset not in presets:
        close = nearest(preset, presets)
        hint = f'Did you mean "{close}"?' if close else "Presets stand in the configuration, under presets:."
        text = f"settings.action: there is no preset {preset!r}. {hint}"
        raise CallerError(422, "invalid_field", text, param="settings.action")
    for name in rule.to:
        if name != LOG and name not in alerts_of(request).destinations:
            raise CallerError(
                422,
                "invalid_field",
                f"settings.to: there is no destination {name!r}. Add it: tollkeeper alerts destinations add {name}",
                param="settings.to",
            )
