"""Settings of presets -> their rows: targets resolved, time-outs merged, static answers as providers."""

import re
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from proxy.config.preset import Preset, PresetTarget
from proxy.config.provider import Provider
from proxy.config.schema import Settings
from proxy.core.errors import ConfigError
from proxy.pipeline.routing.targets import disabled_by, resolve
from proxy.pipeline.values.preset import PresetRow
from proxy.pipeline.values.route import Target
from proxy.policy.answer_check import CheckRules, SchemaError, build_schema, schema_in
from proxy.policy.model_rules import ModelRules
from proxy.policy.prompt_template import Variable
from proxy.providers.build import deadlines_of, model_rules
from proxy.providers.kinds import dialect_of
from proxy.providers.provider import ProviderRow
from proxy.providers.static import NAME, static_row


def preset_rows(settings: Settings) -> dict[str, PresetRow]:
    """Return the presets of a configuration by name."""
    rules = model_rules(settings)
    return {name: _row(name, preset, settings.providers, rules) for name, preset in settings.presets.items()}


def static_rows(settings: Settings, now_s: Callable[[], int]) -> dict[str, ProviderRow]:
    """Return the static answers, each as a provider of its own, by the name of their preset."""
    return {
        name: static_row(preset.targets[-1].static, now_s)
        for name, preset in settings.presets.items()
        if preset.targets[-1].static
    }


def _row(name: str, preset: Preset, providers: Mapping[str, Provider], rules: Mapping[str, ModelRules]) -> PresetRow:
    every = [_target(name, one, preset, providers) for one in preset.targets]
    disabled = tuple((target, off) for target in every if (off := disabled_by(target, rules)) is not None)
    out = [target for target, _ in disabled]
    targets = tuple(target for target in every if target not in out)
    defaults = dict(preset.defaults)
    if preset.response_format is not None:
        defaults.setdefault("response_format", preset.response_format)
    return PresetRow(
        name,
        handed_over(targets, providers) if preset.hand_over else targets,
        defaults,
        preset.system,
        preset.use_case,
        {key: Variable(one.default, one.values or None) for key, one in preset.variables.items()},
        preset.select,
        None if preset.deadline_s is None else float(preset.deadline_s),
        _checks(name, preset) if preset.checks.any else None,
        preset.checks.on_failure == "next_target",
        disabled,
        bool(preset.limits.all),
    )


def _checks(name: str, preset: Preset) -> CheckRules:
    checks = preset.checks
    schema = schema_in(preset.response_format) if checks.valid_json else None
    try:
        built = None if schema is None else build_schema(schema)
    except SchemaError as error:
        raise ConfigError(f"presets.{name}.response_format: {error}") from None
    return CheckRules(
        None if checks.too_slow_s is None else float(checks.too_slow_s),
        checks.min_chars,
        checks.valid_json,
        built,
        None if checks.pattern is None else re.compile(checks.pattern),
    )


def _target(name: str, one: PresetTarget, preset: Preset, providers: Mapping[str, Provider]) -> Target:
    if one.target is None:
        return Target(NAME, NAME, static=name)
    found = resolve(one.target, providers)
    deadlines = deadlines_of(providers[found.provider], found.model, preset, one)
    return replace(found, deadlines=deadlines, defaults=one.defaults, weight=one.weight)


def handed_over(targets: tuple[Target, ...], providers: Mapping[str, Provider]) -> tuple[Target, ...]:
    """Pass the targets of a provider that falls back by itself to its first one; the others stay as they are."""
    own = [one for one in targets if one.static is None and dialect_of(providers[one.provider]).falls_back]
    first = own[0] if own else None
    mine = [one for one in own if first is not None and one.provider == first.provider]
    if first is None or len(mine) == 1:
        return targets
    handed = replace(first, handed=tuple(one.model for one in mine[1:]))
    return tuple(handed if one is first else one for one in targets if one is first or one not in mine)
