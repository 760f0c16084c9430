"""What one user may use: the limits of every scope, the models, the longest answer. Pure.

Limits of a user are the user's own, kind by kind, else those of end_users where a token named them, else those of
defaults; a group's hold for its members together, the top level's for everyone together. All of them hold.
Models, max_tokens and each preference are the user's, else those of end_users, else the group's, else those of
defaults; what users have set for themselves comes before all of these, where the operator lets them.
"""

from dataclasses import replace
from functools import lru_cache

from proxy.config.limit import Limit
from proxy.config.schema import Limits, Settings, UserLimits
from proxy.core.limit_kinds import NAMES
from proxy.pipeline.routing.preferences import join_preferences
from proxy.pipeline.values.allowance import Allowance
from proxy.policy.quota import Quota, scopes_of, use_case_scope


def build_allowance(
    settings: Settings,
    user: str,
    group: str | None,
    own: UserLimits | None,
    template: UserLimits | None = None,
) -> Allowance:
    """Build a user's allowance; own: None without settings of their own. template: the end users' settings."""
    group_settings = settings.groups.get(group) if group else None
    levels = [level for level in (own, template, group_settings, settings.defaults) if level is not None]
    quotas = [
        *quotas_on(f"user:{user}", user_limits(own, template, settings)),
        *quotas_on(f"group:{group}", group_settings.limits.all if group_settings else ()),
        *quotas_on("all", settings.limits.all),
    ]
    models = next((level.models for level in levels if level.models is not None), None)
    max_tokens = next((level.max_tokens for level in levels if level.max_tokens is not None), None)
    may_prefer = next((level.preferences for level in levels if level.preferences is not None), False)
    preferred = settings.preferred.get(user)
    preferring = [preferred, *levels] if preferred is not None and may_prefer else levels
    preferences = join_preferences(preferring, settings.use_cases)
    without = Allowance((), (), models, max_tokens, *(False,) * 4, preferences, may_prefer)
    return _with_quotas(without, scopes_of(user, group), tuple(quotas))


def use_case_quotas(settings: Settings) -> dict[str, tuple[Quota, ...]]:
    """Return the limits of use cases, and of presets by theirs, over all users together."""
    named = [(preset.use_case, preset.limits) for preset in settings.presets.values() if preset.use_case is not None]
    found: dict[str, tuple[Quota, ...]] = {}
    for use_case, limits in [*named, *settings.use_case_limits.items()]:
        if limits.all:
            found[use_case] = (*found.get(use_case, ()), *quotas_on(use_case_scope(use_case), limits.all))
    return found


@lru_cache(maxsize=1024)
def with_use_case(allowance: Allowance, use_case: str, quotas: tuple[Quota, ...]) -> Allowance:
    """Add the limits of a use case to those of a user."""
    return _with_quotas(allowance, (*allowance.scopes, use_case_scope(use_case)), (*allowance.quotas, *quotas))


def _with_quotas(allowance: Allowance, scopes: tuple[str, ...], quotas: tuple[Quota, ...]) -> Allowance:
    """Return an allowance with other limits, and what follows from them."""
    cost = [quota for quota in quotas if quota.kind == "cost"]
    return replace(
        allowance,
        scopes=scopes,
        quotas=quotas,
        has_hard_cost=any(quota.mode == "hard" for quota in cost),
        has_tokens=any(quota.kind == "tokens" for quota in quotas),
        has_hard_tokens=any(quota.kind == "tokens" and quota.mode == "hard" for quota in quotas),
        has_soft=any(quota.mode == "soft" and quota.kind in ("cost", "tokens") for quota in quotas),
    )


def user_limits(own: UserLimits | None, template: UserLimits | None, settings: Settings) -> tuple[Limit, ...]:
    """Return the limits of a user alone: kind by kind the user's own, else the template's, else those of defaults."""
    mine = own.limits if own is not None else Limits()
    made = template.limits if template is not None else Limits()
    others = settings.defaults.limits
    return tuple(limit for kind in NAMES for limit in mine.of(kind) or made.of(kind) or others.of(kind))


def quotas_on(scope: str, limits: tuple[Limit, ...]) -> list[Quota]:
    """Return limits as the engine knows them, on a scope, in their order."""
    return [Quota(scope, limit.kind, limit.amount, limit.window, limit.mode) for limit in limits]
