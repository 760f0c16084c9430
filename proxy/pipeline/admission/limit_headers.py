"""Headers of every answer about the user's limits: the money left, and OpenAI's x-ratelimit-* headers."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from msgspec import Struct

from proxy.core.clock import iso_utc
from proxy.core.limit_kinds import COST
from proxy.core.money import usd_text
from proxy.core.name_cache import NameCache
from proxy.pipeline.admission.limiter import Limiter
from proxy.pipeline.context import RequestContext
from proxy.pipeline.values.allowance import Allowance
from proxy.policy.quota import CountedLimit, Quota

_BUDGET: Final = (None, "x-tollkeeper-budget-remaining-usd", "x-tollkeeper-budget-resets-at")
_LIMITS: Final = "x-tollkeeper-limits"
OF_PROVIDERS: Final = "x-ratelimit-"  # how names of headers begin that providers send as well
Names = tuple[str | None, str, str]
"""Of the headers of a kind: for the limit itself (None of money), for what is left, for when that resets."""
Shown = tuple[Names, str, str, str | None, str | None]
"""Of a limit the names of its headers, its lines up to what is left and up to when that resets, of money when its
window ends where that is known, and its name where headers must tell it."""


class LimitHeaders(Struct, gc=False):
    """What every answer to a user with limits tells of them; of several of a kind that which leaves least."""

    allowance: Allowance
    limiter: Limiter
    now_ms: int

    def __call__(self) -> dict[str, str]:
        """Return the headers."""
        headers: dict[str, str] = {}
        named = []
        for limit, left in self.limiter.tightest(self.allowance.quotas, self.now_ms):
            (of_limit, of_rest, of_reset), _, _, _, name = limit.shown or _shown(limit, self.allowance.groups_above)
            text, resets = _figures(limit, left, self.now_ms)
            if of_limit is not None:
                headers[of_limit] = str(limit.amount)
            headers[of_rest] = text
            if resets is not None:
                headers[of_reset] = resets
            if name is not None:
                named.append(name)
        if named:
            headers[_LIMITS] = "; ".join(named)
        return headers

    def lines(self) -> str:
        """Return the headers as HTTP writes them, each line with its end."""
        lines = names = ""
        for limit, left in self.limiter.tightest(self.allowance.quotas, self.now_ms):
            _, up_to_left, up_to_reset, _, name = limit.shown or _shown(limit, self.allowance.groups_above)
            text, resets = _figures(limit, left, self.now_ms)
            if resets is None:
                lines = f"{lines}{up_to_left}{text}\r\n"
            else:
                lines = f"{lines}{up_to_left}{text}\r\n{up_to_reset}{resets}\r\n"
            if name is not None:
                names = f"{names}; {name}" if names else name
        return f"{lines}{_LIMITS}: {names}\r\n" if names else lines


def _figures(limit: CountedLimit, left: int, now_ms: int) -> tuple[str, str | None]:
    """Return what headers say is left of a limit whose names are known, and when that resets; None: never."""
    resets_at_ms = limit.ends_ms
    if limit.place != COST:
        if resets_at_ms is None:
            resets_at_ms = limit.resets_at_ms()
        return str(left), None if resets_at_ms is None else go_duration(resets_at_ms - now_ms)
    if resets_at_ms is not None:
        return usd_text(left), limit.shown[3]
    resets_at_ms = limit.resets_at_ms()
    return usd_text(left), None if resets_at_ms is None else _utc[resets_at_ms]


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


def _shown(limit: CountedLimit, above: str | None) -> Shown:
    """Return what headers say of a limit each time, and keep it there. above: the groups above the user's."""
    quota = limit.quota
    is_named = quota.models or (above is not None and quota.scope.startswith("group:"))
    names = of_limit, of_rest, of_reset = _BUDGET if limit.place == COST else header_names(quota.kind)
    amount = "" if of_limit is None else f"{of_limit}: {limit.amount}\r\n"
    ends_at = None if limit.ends_ms is None else iso_utc(limit.ends_ms)
    name = _name(quota) if is_named else None
    shown = limit.shown = names, f"{amount}{of_rest}: ", f"{of_reset}: ", ends_at, name
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
    seconds = -(-ms // 1000)
    if seconds < 60:  # as limits a minute have it
        return f"{seconds}s"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s"
