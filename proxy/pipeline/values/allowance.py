"""What one user may use."""

from dataclasses import dataclass

from proxy.core.model_patterns import matches
from proxy.pipeline.values.preferences import Preferences
from proxy.policy.quota import Quota


@dataclass(frozen=True, slots=True)
class Allowance:
    scopes: tuple[str, ...]
    quotas: tuple[Quota, ...]
    models: tuple[str, ...] | None
    max_tokens: int | None
    has_hard_cost: bool
    has_tokens: bool
    has_hard_tokens: bool
    has_soft: bool = False  # on cost or tokens
    preferences: Preferences | None = None  # None: nothing is filled in, and every route stays as it is
    may_prefer: bool = False  # they may set preferences of their own

    def allows(self, model: str) -> bool:
        """Return whether a model or preset may be used."""
        return self.models is None or matches(self.models, model)
