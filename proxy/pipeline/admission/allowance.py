"""What one user may use: the limits of every scope, the models, the longest answer. Pure.

Limits of a user are the user's own, kind by kind and set of models by set of models, else those of end_users where a
token named them, else those of defaults; a group's hold for its members together, those of the groups above it for all
below them, the top level's for everyone together. All of them hold.
Models, max_tokens and each preference are the user's, else those of end_users, else the group's, else those of the
groups above it, the nearest first, else those of defaults; what users have set for themselves comes before all of
these, where the operator lets them.
"""

from collections.abc import Iterable
from functools import lru_cache

from msgspec.structs import replace

from proxy.config.group_tree import ancestors
from proxy.config.limit import Limit
from proxy.config.schema import Limits, Settings, UserLimits
from proxy.core.limit_kinds import ORDER
from proxy.pipeline.routing.preferences import join_preferences
from proxy.pipeline.values.allowance import Allowance
from proxy.policy.quota import Models, Quota, may_serve, scopes_of, use_case_scope
from proxy.storage.reports import LimitPart


def build_allowance(
    settings: Settings,
    user: str,
    group: str | None,
    own: UserLimits | None,
    template: UserLimits | None = None,
) -> Allowance:
    """Build a user's allowance; own: None without settings of their own. template: the end users' settings."""
    group_settings = settings.groups.get(group) if group else None
    above = ancestors({name: one.parent for name, one in settings.groups.items()}, group) if group else ()
    parents = (settings.groups.get(name) for name in above)
    levels = [level for level in (own, template, group_settings, *parents, settings.defaults) if level is not None]
    quotas = [
        *quotas_on(f"user:{user}", user_limits(own, template, settings)),
        *quotas_on(f"group:{group}", group_settings.limits.all if group_settings else ()),
        *[quota for name in above if name in settings.groups for quota in _of_group(settings, name)],
        *quotas_on("all", settings.limits.all),
    ]
    models = next((level.models for level in levels if level.models is not None), None)
    max_tokens = next((level.max_tokens for level in levels if level.max_tokens is not None), None)
    may_prefer = next((level.preferences for level in levels if level.preferences is not None), False)
    preferred = settings.preferred.get(user)
    preferring = [preferred, *levels] if preferred is not None and may_prefer else levels
    preferences = join_preferences(preferring, settings.use_cases, settings.presets)
    text = " ".join(above) or None
    without = Allowance((), (), models, max_tokens, *(False,) * 4, preferences, may_prefer, groups_above=text)
    return _with_quotas(without, scopes_of(user, group, None, text), tuple(quotas))


def _of_group(settings: Settings, name: str) -> list[Quota]:
    return quotas_on(f"group:{name}", settings.groups[name].limits.all)


def limit_parts(settings: Settings, others: Iterable[Limits] = ()) -> tuple[LimitPart, ...]:
    """Return the parts of the spending that need totals of their own, so that limits can be held against them.

    others: limits beside the settings', of end users.
    """
    holders = [
        settings.limits,
        settings.defaults.limits,
        settings.end_users.limits,
        *(group.limits for group in settings.groups.values()),
        *(user.limits for user in settings.users.values()),
        *others,
    ]
    parts = {LimitPart(None, limit.models) for limits in holders for limit in limits.all if limit.models}
    for use_case, quotas in use_case_quotas(settings).items():
        sets = {quota.models for quota in quotas if quota.models}
        parts |= {LimitPart(use_case), *(LimitPart(name, models) for models in sets for name in (None, use_case))}
    return tuple(sorted(parts, key=lambda part: (part.use_case or "", part.models)))


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
    return _with_quotas(allowance, (*allowance.scopes, use_case_scope(use_case)), (*allowance.all_quotas, *quotas))


@lru_cache(maxsize=4096)
def with_models(allowance: Allowance, targets: tuple[tuple[str, str], ...]) -> Allowance:
    """Add the limits on sets of models that one of the targets (provider, model) may be answered from."""
    held = tuple(
        quota for quota in allowance.model_quotas if any(may_serve(quota.models, *target) for target in targets)
    )
    quotas = (*allowance.general_quotas, *held)
    return allowance if quotas == allowance.quotas else _following(replace(allowance, quotas=quotas))


@lru_cache(maxsize=1024)
def without_quotas(allowance: Allowance, quotas: tuple[Quota, ...]) -> Allowance:
    """Leave limits out, for a request that has waited for its turn."""
    return _following(replace(allowance, quotas=tuple(one for one in allowance.quotas if one not in quotas)))


def _with_quotas(allowance: Allowance, scopes: tuple[str, ...], quotas: tuple[Quota, ...]) -> Allowance:
    """Return an allowance with other limits, and what follows from them."""
    general = tuple(quota for quota in quotas if not quota.models)
    on_models = tuple(quota for quota in quotas if quota.models)
    return _following(replace(allowance, scopes=scopes, quotas=general, model_quotas=on_models))


def _following(allowance: Allowance) -> Allowance:
    """Return an allowance with what follows from its limits."""
    quotas = allowance.quotas
    cost = [quota for quota in quotas if quota.kind == "cost"]
    return replace(
        allowance,
        has_hard_cost=any(quota.mode == "hard" for quota in cost),
        has_tokens=any(quota.kind == "tokens" for quota in quotas),
        has_hard_tokens=any(quota.kind == "tokens" and quota.mode == "hard" for quota in quotas),
        has_soft=any(quota.mode == "soft" and quota.kind in ("cost", "tokens") for quota in quotas),
    )


def user_limits(own: UserLimits | None, template: UserLimits | None, settings: Settings) -> tuple[Limit, ...]:
    """Return the limits of a user alone: the user's own, else the template's, else those of defaults.

    Kind by kind, and there set of models by set of models: a limit on some models never lifts one on all of them.
    """
    levels = [level.limits.all for level in (own, template, settings.defaults) if level is not None]
    decides: dict[tuple[str, Models], tuple[Limit, ...]] = {}
    for limits in levels:
        for limit in limits:
            decides.setdefault((limit.kind, limit.models), limits)
    found = [limit for limits in levels for limit in limits if decides[limit.kind, limit.models] is limits]
    return tuple(sorted(found, key=lambda limit: ORDER[limit.kind]))


def quotas_on(scope: str, limits: tuple[Limit, ...]) -> list[Quota]:
    """Return limits as the engine knows them, on a scope, in their order."""
    return [
        Quota(scope, limit.kind, limit.amount, limit.window, limit.mode, limit.models, limit.on_spent)
        for limit in limits
    ]
