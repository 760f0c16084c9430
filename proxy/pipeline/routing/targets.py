"""What names of models stand for: a preset, or a target at a provider. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from proxy.config.schema import Provider, split_target
from proxy.core.errors import CallerError
from proxy.pipeline.values.preset import PresetRow
from proxy.pipeline.values.route import Target

_TARGETS_MAX = 1000  # names of models come from callers, and must not fill memory


class TargetsByName(dict[str, Target]):
    """The targets of names that are not presets, each made at its first use; raises CallerError 404."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        """Keep the configured providers, the default one first."""
        super().__init__()
        self._providers = providers

    def __missing__(self, model: str) -> Target:
        target = resolve(model, self._providers)
        if len(self) >= _TARGETS_MAX:
            self.clear()
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


class RouteTable(NamedTuple):
    """What the names of a configuration lead to. use_cases: the preset of one, for a model that is no preset."""

    presets: Mapping[str, PresetRow]
    targets: TargetsByName
    use_cases: Mapping[str, str]
