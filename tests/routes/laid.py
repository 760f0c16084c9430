"""Lay other rows over those of a running proxy's configuration, as a reload would."""

from typing import Any

from msgspec.structs import replace

from proxy.pipeline.values.preset import PresetRow
from tests.support.stand import Stand


def provider(stand: Stand, name: str = "openrouter", **fields: Any) -> None:
    """Change fields of a provider's row; what the health knows stays where the row stays."""
    live = stand.app.live
    rows = {**live.current.providers, name: replace(live.current.providers[name], **fields)}
    live.current = replace(live.current, providers=rows)
    stand.app.health.configure(rows.values())


def preset(stand: Stand, row: PresetRow, **more: Any) -> None:
    live = stand.app.live
    live.current = replace(live.current, presets={**live.current.presets, row.name: row}, **more)


def routing(stand: Stand, **fields: Any) -> None:
    live = stand.app.live
    live.current = replace(live.current, routing=replace(live.current.routing, **fields))
