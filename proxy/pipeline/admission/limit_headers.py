"""Headers of every answer about the user's limits: the money left, and OpenAI's x-ratelimit-* headers."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from proxy.core.clock import iso_utc
from proxy.core.limit_kinds import COST
from proxy.core.money import usd_text
from proxy.core.name_cache import NameCache
from proxy.pipeline.admission.limiter import Limiter
from proxy.pipeline.context import RequestContext
from proxy.pipeline.values.allowance import Allowance
from proxy.policy.quota import CountedLimit, Quota

_COST_NAMES: Final = (None, "x-tollkeeper-budget-remaining-usd", "x-tollkeeper-budget-resets-at")
Shown = tuple[str | None, str, str, str, str | None, str | None]
"""Of a limit the names of its headers (for itself, None of money; for what is left; for when that resets), with its
amount behind the first and, behind the others, when its window ends, and its name where headers must tell it."""


class ToldHeaders:
    """The headers of every answer to a request: what limits say, and what else was found out on the way."""

    __slots__ = ("limits", "others")

    def __init__(self, limits: Callable[[], dict[str, str]], others: Mapping[str, str]) -> None:
        self.limits = limits
        self.others = others

    def __call__(self) -> dict[str, str]:
        """Return them all."""
        return {**self.limits(), **self.others}


def add_header(context: RequestContext, name: str, value: str) -> None:
    """Add a header to every answer of a request; to one that is there already a further value."""
    told = context.told
    limits, others = (told.limits, told.others) if isinstance(told, ToldHeaders) else (told, {})
    before = others.get(name)
    if before is not None:
        value = before if value in before else f"{before}, {value}"
    context.told = ToldHeaders(limits, {**others, name: value})


def tell_limits(context: RequestContext, limits: Callable[[], dict[str, str]]) -> None:
    """Have every answer tell other limits, beside what was added to it."""
    told = context.told
    context.told = ToldHeaders(limits, told.others) if isinstance(told, ToldHeaders) else limits


def limit_headers(allowance: Allowance, limiter: Limiter, now_ms: int) -> dict[str, str]:
    """Return the headers for a user with limits; of several limits of a kind the one that leaves least is told."""
    headers: dict[str, str] = {}
    named = []
    for limit, left in limiter.tightest(allowance.quotas, now_ms):
        of_limit, amount, of_rest, of_reset, resets_at, name = limit.shown or _shown(limit, allowance.groups_above)
        resets_at_ms = limit.ends_ms
        if resets_at_ms is None:
            resets_at_ms = limit.resets_at_ms()
        if of_limit is None:
            headers[of_rest] = usd_text(left)
            if resets_at_ms is not None:
                headers[of_reset] = resets_at or _utc[resets_at_ms]
        else:
            headers[of_limit] = amount
            headers[of_rest] = str(left)
            if resets_at_ms is not None:
                headers[of_reset] = go_duration(resets_at_ms - now_ms)
        if name is not None:
            named.append(name)
    if named:
        headers["x-tollkeeper-limits"] = "; ".join(named)
    return headers


def _shown(limit: CountedLimit, above: str | None) -> Shown:
    """Return what headers say of a limit each time, and keep it there. above: the groups above the user's."""
    quota = limit.quota
    is_named = quota.models or (above is not None and quota.scope.startswith("group:"))
    names = _COST_NAMES if limit.place == COST else header_names(quota.kind)
    resets_at = None if limit.ends_ms is None else iso_utc(limit.ends_ms)
    of_limit, of_rest, of_reset = names
    shown = limit.shown = of_limit, str(limit.amount), of_rest, of_reset, resets_at, _name(quota) if is_named else None
    return shown


@lru_cache(maxsize=256)
def _name(quota: Quota) -> str:
    """Return which limit a header tells of, where it is on a set of models or of one of several groups."""
    text = " ".join((quota.kind, quota.scope, *quota.models))
    return text.encode("ascii", "replace").decode()


def header_names(kind: str) -> tuple[str, str, str]:
    """Return the names of the headers of a kind that is a count: its limit, what remains of it, when it resets."""
    return f"x-ratelimit-limit-{kind}", f"x-ratelimit-remaining-{kind}", f"x-ratelimit-reset-{kind}"


_utc: Final = NameCache(iso_utc, most=64)  # of rolling windows: few, and often the same


def go_duration(ms: int) -> str:
    """Write a length of time as OpenAI does in x-ratelimit-reset-*: 12ms, 1s, 6m0s, 1h2m3s."""
    if ms < 1000:
        return f"{max(ms, 0)}ms"
    minutes, seconds = divmod(-(-ms // 1000), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
