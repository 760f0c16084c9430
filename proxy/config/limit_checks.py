"""Checks of limits against the rest of a file: groups within groups, sets of models, what follows when one is spent.

They run on the data of a file whose single values may still be wrong; what has not the expected shape is passed over.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from proxy.config.diagnostic import SettingError
from proxy.config.group_tree import circle
from proxy.config.on_spent import parse_on_spent
from proxy.core.close_name import close_name
from proxy.core.limit_kinds import NAMES
from proxy.core.model_patterns import matches

Path = tuple[str | int, ...]
Finding = tuple[Path, str]


class _Terms(Struct, frozen=True):
    """What a limit says besides its amount, and where it stands. downgrade: the preset; None: it does not."""

    path: Path
    models: tuple[str, ...]
    downgrade: str | None


def group_mistakes(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield each parent that is no group, and each circle once."""
    groups = _block(data, "groups")
    parents = {
        name: group["parent"]
        for name, group in groups.items()
        if isinstance(group, Mapping) and isinstance(group.get("parent"), str)
    }
    told: set[str] = set()
    for name, parent in parents.items():
        if parent not in groups:
            yield ("groups", name, "parent"), f'there is no group "{parent}". {_advice(parent, groups, "groups")}'
        around = circle(parents, name)
        if around and name not in told:
            text = f'group "{name}" is above itself: {" → ".join(around)}. Take one parent out of the circle.'
            yield ("groups", name, "parent"), text
        told.update(around)


def limit_mistakes(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what of limits on models, and of downgrades, leads nowhere or in a circle."""
    presets = _block(data, "presets")
    leads_to: dict[str, list[str]] = {}
    for holder, path, limits in _holders(data):
        for terms in _limits(path, limits):
            yield from _models(terms, presets)
            if terms.downgrade is None:
                continue
            yield from _downgrade(terms, terms.downgrade, presets)
            leads_to.setdefault(holder, []).append(terms.downgrade)
    told: set[str] = set()
    for name in presets:
        around = _circle(f"presets.{name}", leads_to)
        if around and name not in told:
            yield ("presets", name, "limits"), f"downgrades lead back here: {' → '.join(around)}. Let one refuse."
        told.update(around)


def _models(terms: _Terms, presets: Mapping[str, Any]) -> Iterator[Finding]:
    for pattern in terms.models:
        if pattern in presets:
            text = f'"{pattern}" is a preset; a limit counts models. Name its models, or set presets.{pattern}.limits.'
            yield (*terms.path, "models"), text


def _downgrade(terms: _Terms, name: str, presets: Mapping[str, Any]) -> Iterator[Finding]:
    if name not in presets:
        yield (*terms.path, "on_spent"), f'there is no preset "{name}". {_advice(name, presets, "presets")}'
        return
    targets = _targets(presets[name])
    if terms.models and targets and all(_is_in(target, terms.models) for target in targets):
        text = f'all targets of preset "{name}" count in this limit too, so it would refuse them. Name another preset.'
        yield (*terms.path, "on_spent"), text


def _is_in(target: str, patterns: tuple[str, ...]) -> bool:
    """Return whether a target as it is written, with or without its provider, is one of a set of models."""
    return matches(patterns, target, target.partition("/")[2])


def _targets(preset: Any) -> list[str]:
    """Return the targets of a preset as they are written; none where one of them is not a model."""
    listed = preset.get("targets") if isinstance(preset, Mapping) else preset
    found = []
    for one in listed if isinstance(listed, list) else [listed]:
        name = one.get("target") if isinstance(one, Mapping) else one
        if not isinstance(name, str):
            return []
        found.append(str(name))
    return found


def _circle(start: str, leads_to: Mapping[str, list[str]]) -> list[str]:
    """Return the presets of a circle that leads from a preset's limits back to it; empty where there is none."""
    name = start.partition(".")[2]
    ways = [[name]]
    seen = set()
    while ways:
        way = ways.pop()
        for following in leads_to.get(f"presets.{way[-1]}", ()):
            if following == name:
                return [*way, name]
            if following not in seen:
                seen.add(following)
                ways.append([*way, following])
    return []


def _holders(data: Mapping[str, Any]) -> Iterator[tuple[str, Path, Any]]:
    """Yield each block of limits with the name of what has it, and its path."""
    yield "limits", ("limits",), data.get("limits")
    for name in ("defaults", "end_users"):
        yield name, (name, "limits"), _block(data, name).get("limits")
    for kind in ("groups", "users", "presets"):
        for name, block in _block(data, kind).items():
            if isinstance(block, Mapping):
                yield f"{kind}.{name}", (kind, name, "limits"), block.get("limits")
    for name, limits in _block(data, "use_case_limits").items():
        yield f"use_case_limits.{name}", ("use_case_limits", name), limits


def _limits(path: Path, limits: Any) -> Iterator[_Terms]:
    if isinstance(limits, Mapping):
        for kind in NAMES:
            yield from _of_kind((*path, kind), limits.get(kind), {})
    for number, entry in enumerate(limits if isinstance(limits, list) else ()):
        if isinstance(entry, Mapping):
            yield from _read_terms((*path, number), entry)
            for kind in NAMES:
                yield from _of_kind((*path, number, kind), entry.get(kind), entry)


def _of_kind(path: Path, value: Any, entry: Mapping[str, Any]) -> Iterator[_Terms]:
    listed = value if isinstance(value, list) else [value]
    for number, one in enumerate(listed):
        if isinstance(one, Mapping) and ("models" in one or "on_spent" in one):
            at = (*path, number) if isinstance(value, list) else path
            yield from _read_terms(at, {**{name: entry.get(name) for name in ("models", "on_spent")}, **one})


def _read_terms(path: Path, block: Mapping[str, Any]) -> Iterator[_Terms]:
    models, follows = block.get("models"), block.get("on_spent")
    if models is None and follows is None:
        return
    listed = models if isinstance(models, list) else [models]
    patterns = tuple(str(one) for one in listed if isinstance(one, str))
    try:
        preset = None if follows is None else parse_on_spent(follows).preset or None
    except SettingError:
        preset = None  # the schema's to report
    yield _Terms(path, patterns, preset)


def _advice(name: str, names: Mapping[str, Any], section: str) -> str:
    close = close_name(name, names)
    return f'Did you mean "{close}"?' if close else f"Add it under {section}:."


def _block(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    return value if isinstance(value, Mapping) else {}
