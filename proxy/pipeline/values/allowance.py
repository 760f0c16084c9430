"""What one user may use."""

from msgspec import Struct

from proxy.core.model_patterns import matches
from proxy.pipeline.values.preferences import Preferences
from proxy.policy.quota import Quota


class Allowance(Struct, frozen=True):
    """What one user may use. quotas: the limits that hold for every request of theirs, or for one whose route is known.

    model_quotas: those on sets of models, which hold for a request that one of them may answer. groups_above: those
    above the user's group, the nearest first, with spaces between them.
    """

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
    model_quotas: tuple[Quota, ...] = ()
    groups_above: str | None = None

    @property
    def general_quotas(self) -> tuple[Quota, ...]:
        """Return the limits that count all models."""
        return tuple(quota for quota in self.quotas if not quota.models)

    @property
    def all_quotas(self) -> tuple[Quota, ...]:
        """Return every limit of the user."""
        return self.general_quotas + self.model_quotas

    def allows(self, model: str) -> bool:
        """Return whether a model or preset may be used."""
        return self.models is None or matches(self.models, model)
