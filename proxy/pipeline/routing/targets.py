"""What names of models stand for: a preset, or a target at a provider. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from proxy.config.schema import Provider, split_target
from proxy.core.errors import CallerError
from proxy.pipeline.values.preset import PresetRow
from proxy.pipeline.values.route import Target
from proxy.policy.model_rules import ModelRules

_TARGETS_MAX = 1000  # names of models come from callers, and must not fill memory


NO_RULES: Final[Mapping[str, ModelRules]] = MappingProxyType({})


AUTO_NAME: Final = "auto"
AUTO: Final = Target(AUTO_NAME, AUTO_NAME)
"""Stands in a planned route for what auto picks; no step behind that one meets it."""


class ModelDisabledError(CallerError):
    """A model, or all of a provider's, that the operator has disabled; setting says where."""

    def __init__(self, model: str, setting: str) -> None:
        super().__init__(
            404,
            "model_disabled",
            f'"{model[:100]}" is disabled here. GET /v1/models lists what you may use. Operator: {setting}.',
            param="model",
            should_retry=False,
        )


class TargetsByName(dict[str, Target]):
    """The targets of names that are not presets, each made at its first use; raises CallerError 404."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        rules: Mapping[str, ModelRules] = NO_RULES,
        *,
        has_auto: bool = False,
    ) -> None:
        """Keep the configured providers, the default one first, and what is said of their models.

        has_auto: the name auto stands for a model to be picked.
        """
        super().__init__({AUTO_NAME: AUTO} if has_auto else {})
        self._has_auto = has_auto
        self._providers = providers
        self._rules = rules

    def __missing__(self, model: str) -> Target:
        target = resolve(model, self._providers)
        off = disabled_by(target, self._rules)
        if off is not None:
            raise ModelDisabledError(model, off)
        if len(self) >= _TARGETS_MAX:
            self.clear()
            if self._has_auto:
                self[AUTO_NAME] = AUTO
        self[model] = target
        return target


def resolve(model: str, providers: Mapping[str, Provider]) -> Target:
    """Return the target of a model name or of a preset's entry."""
    try:
        return Target(*split_target(model, providers))
    except LookupError:
        raise CallerError(
            404, "model_not_found", "No provider is configured. Operator: add one under providers:."
        ) from None


def disabled_by(target: Target, rules: Mapping[str, ModelRules]) -> str | None:
    """Return the setting that disables a target; None: it may be asked. rules: by provider."""
    found = rules.get(target.provider)
    return None if found is None else found.disabled_by(target.model)


class RouteTable(NamedTuple):
    """What the names of a configuration lead to. use_cases: the preset of one, for a model that is no preset."""

    presets: Mapping[str, PresetRow]
    targets: TargetsByName
    use_cases: Mapping[str, str]
