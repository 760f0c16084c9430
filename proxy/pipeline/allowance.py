"""What one user may use: the limits of every scope, the models, the longest answer. Pure.

Limits of a user are the user's own, kind by kind, else those of end_users where a token named them, else those of
defaults; a group's hold for its members together, the top level's for everyone together. All of them hold.
Models and max_tokens are the user's, else those of end_users, else the group's, else those of defaults.
"""

import fnmatch
from typing import NamedTuple

from proxy.config.limit import Limit
from proxy.config.schema import Allowance as AllowanceSettings
from proxy.config.schema import Limits, Settings
from proxy.policy.quota import Quota, scopes_of

_KINDS = ("cost", "requests", "tokens", "concurrency")


class Allowance(NamedTuple):
    scopes: tuple[str, ...]
    quotas: tuple[Quota, ...]
    models: tuple[str, ...] | None
    max_tokens: int | None
    has_hard_cost: bool
    has_cost: bool
    has_tokens: bool
    has_hard_tokens: bool
    has_rates: bool  # limits on requests or tokens: those that x-ratelimit-* headers tell

    def allows(self, model: str) -> bool:
        """Tell whether a model or preset may be asked for."""
        return self.models is None or any(fnmatch.fnmatchcase(model, pattern) for pattern in self.models)


def build_allowance(
    settings: Settings,
    user: str,
    group: str | None,
    own: AllowanceSettings | None,
    template: AllowanceSettings | None = None,
) -> Allowance:
    """Put a user's allowance together; own is None for one who has nothing of their own. template: of end users."""
    group_settings = settings.groups.get(group) if group else None
    levels = [level for level in (own, template, group_settings, settings.defaults) if level is not None]
    quotas = [
        *_quotas(f"user:{user}", _user_limits(own, template, settings)),
        *_quotas(f"group:{group}", group_settings.limits.all if group_settings else ()),
        *_quotas("all", settings.limits.all),
    ]
    cost = [quota for quota in quotas if quota.kind == "cost"]
    return Allowance(
        scopes=scopes_of(user, group),
        quotas=tuple(quotas),
        models=next((level.models for level in levels if level.models is not None), None),
        max_tokens=next((level.max_tokens for level in levels if level.max_tokens is not None), None),
        has_hard_cost=any(quota.mode == "hard" for quota in cost),
        has_cost=bool(cost),
        has_tokens=any(quota.kind == "tokens" for quota in quotas),
        has_hard_tokens=any(quota.kind == "tokens" and quota.mode == "hard" for quota in quotas),
        has_rates=any(quota.kind in ("tokens", "requests") for quota in quotas),
    )


def _user_limits(
    own: AllowanceSettings | None, template: AllowanceSettings | None, settings: Settings
) -> tuple[Limit, ...]:
    mine = own.limits if own is not None else Limits()
    made = template.limits if template is not None else Limits()
    others = settings.defaults.limits
    return tuple(
        limit for kind in _KINDS for limit in getattr(mine, kind) or getattr(made, kind) or getattr(others, kind)
    )


def _quotas(scope: str, limits: tuple[Limit, ...]) -> list[Quota]:
    return [Quota(scope, limit.kind, limit.amount, limit.window, limit.mode) for limit in limits]
