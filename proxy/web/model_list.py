"""The lists of models, encoded once and kept until the configuration or a provider's list changes.

A list is half a megabyte, and clients ask for it at each start and on each page; sorting out who may see what each time
would take milliseconds of the loop.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from proxy.pipeline.routing.targets import AUTO_NAME
from proxy.pipeline.services import Services
from proxy.pipeline.snapshot import Snapshot
from proxy.pipeline.values.allowance import Allowance
from proxy.pipeline.values.preset import PresetRow

_LISTS_MAX = 32  # of half a megabyte each; users of one installation share a few lists of allowed models
_FIGURES = (  # what clients calculate with; a preset's are those of its first listed target
    "architecture",
    "pricing",
    "top_provider",
    "per_request_limits",
    "supported_parameters",
    "default_parameters",
)


class VisibleModels(NamedTuple):
    """What one user may ask for: id -> its JSON, presets first, and all of it as the answer to GET /models."""

    models: Mapping[str, bytes]
    body: bytes


class ModelListCache:
    """Lists by the names that they are cut to; all are dropped when what they were made of changes."""

    def __init__(self) -> None:
        self._made_of: tuple[object, ...] = ()
        self._all: Mapping[str, bytes] = {}
        self._shown: dict[tuple[str, ...] | None, VisibleModels] = {}
        self._since_s: int | None = None

    def shown(self, services: Services, allowance: Allowance, now_ms: int) -> VisibleModels:
        """Return the list for a user, from memory, whatever state the providers are in."""
        if self._since_s is None:
            self._since_s = now_ms // 1000  # presets have no date; a changing one would look like a new model
        snapshot = services.live.current
        lists = {name: services.model_lists.listing(name).models for name in snapshot.providers}
        made_of = (snapshot, *lists.values())  # a refresh makes a new mapping, and a new configuration a new snapshot
        if len(made_of) != len(self._made_of) or any(a is not b for a, b in zip(made_of, self._made_of, strict=True)):
            self._all = _all(snapshot, lists, self._since_s)
            self._shown = {}
            self._made_of = made_of
        found = self._shown.get(allowance.models)
        if found is None:
            if len(self._shown) >= _LISTS_MAX:
                self._shown.clear()
            found = self._shown[allowance.models] = _cut(self._all, allowance)
        return found


def _cut(models: Mapping[str, bytes], allowance: Allowance) -> VisibleModels:
    mine = (
        models if allowance.models is None else {id_: model for id_, model in models.items() if allowance.allows(id_)}
    )
    return VisibleModels(mine, b'{"object":"list","data":[' + b",".join(mine.values()) + b"]}")


def _all(snapshot: Snapshot, lists: Mapping[str, Mapping[str, bytes]], since_s: int) -> Mapping[str, bytes]:
    """Return presets, then the default provider's models under their own names, then the others' with prefixes."""
    found: dict[str, bytes] = {}
    if snapshot.settings.auto.models:
        found[AUTO_NAME] = _auto(since_s)
    for preset in snapshot.presets.values():
        if preset.targets:
            found[preset.name] = _preset(preset, lists, since_s)
    for n, (provider, models) in enumerate(lists.items()):
        rules = snapshot.providers[provider].rules
        for id_, entry in models.items():
            if rules is not None and rules.disabled_by(id_) is not None:
                continue
            if n == 0:
                found.setdefault(id_, entry)
            else:
                full = f"{provider}/{id_}"
                found.setdefault(full, _renamed(entry, full))
    return found


def _auto(since_s: int) -> bytes:
    said = "Picks a model for each request, by what it needs, price, speed and quality"
    shown = {"id": AUTO_NAME, "object": "model", "created": since_s, "owned_by": "tollkeeper", "name": AUTO_NAME}
    return orjson.dumps({**shown, "description": said})


def _preset(preset: PresetRow, lists: Mapping[str, Mapping[str, bytes]], since_s: int) -> bytes:
    listed = [target for target in preset.targets if target.static is None]  # static answers are on no list
    entries = [orjson.loads(entry) for target in listed if (entry := lists[target.provider].get(target.model))]
    targets = ", ".join(
        "canned answers" if target.static is not None else f"{target.provider}/{target.model}"
        for target in preset.targets
    )
    shown = {
        "id": preset.name,
        "object": "model",
        "created": since_s,
        "owned_by": "tollkeeper",
        "name": preset.name,
        "description": f"Preset: {targets}",
    }
    if entries:
        shown |= {name: entries[0][name] for name in _FIGURES if name in entries[0]}
        lengths = list(_lengths(entries))
        shown |= {"context_length": min(lengths)} if lengths else {}
    return orjson.dumps(shown)


def _lengths(entries: Iterable[Mapping[str, Any]]) -> Iterable[int]:
    return (length for entry in entries if isinstance(length := entry.get("context_length"), int))


def _renamed(entry: bytes, id_: str) -> bytes:
    return orjson.dumps({**orjson.loads(entry), "id": id_})
