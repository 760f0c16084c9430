"""The text and the status of each refusal: which limit, what is left, what was needed, when it resets. Pure.

The order in which refusals are reported is fixed: policy/quota.py, refusal_order, and docs/concepts/quotas.md.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

from proxy.core.clock import iso_utc
from proxy.core.errors import CallerError
from proxy.core.limit_figures import LimitFigures
from proxy.core.limit_kinds import BY_NAME, listed
from proxy.core.money import MAX_PUSD, PUSD_PER_USD, pusd_to_usd
from proxy.policy.pricing import UnaffordableOutput
from proxy.policy.quota import LimitExceeded, Quota

_WORDS = {"minute": "a minute", "hour": "an hour", "day": "a day", "week": "a week", "month": "a month"}
_ADJECTIVES = {"minute": "per-minute", "hour": "hourly", "day": "daily", "week": "weekly", "month": "monthly"}


def quota_refused(
    refused: LimitExceeded, open_requests: int, now_ms: int, zone: ZoneInfo, budget_status: int
) -> CallerError:
    """Return 402 for money and long windows, 429 with a true Retry-After for minutes and concurrency."""
    kind, unit = refused.quota.kind, BY_NAME[refused.quota.kind].unit
    if unit == "open":
        text = f"{refused.quota.amount} requests at once are allowed for {whose(refused.quota)}. Try again in 1 s."
        return _rate(text, 1, refused)
    if unit == "money":
        return _budget(_cost_text(refused, open_requests, now_ms, zone), refused, budget_status)
    if refused.quota.window == "minute":
        after_s = refused.retry_after_s(now_ms)
        text = f"{refused.quota.amount} {kind} a minute for {whose(refused.quota)} are used up."
        return _rate(f"{text} Try again in {after_s} s.", after_s, refused)
    text = (
        f"{refused.quota.amount} {kind} {_per(refused.quota.window)} for {whose(refused.quota)} are used up"
        f" ({refused.used} used{_open(open_requests)}, {refused.needed} needed)."
        f"{_resets(refused.resets_at_ms, now_ms, zone)}"
    )
    return _budget(text, refused, budget_status)


def unaffordable(
    found: UnaffordableOutput, refused: LimitExceeded, now_ms: int, zone: ZoneInfo, budget_status: int
) -> CallerError:
    """Refuse what does not fit even with the shortest answer; say how many tokens would."""
    quota = refused.quota
    headroom_pusd = quota.amount - refused.used - refused.reserved
    fits = (
        f", enough for max_tokens {found.affordable_tokens}."
        " Send a shorter prompt, ask for fewer tokens, or use a cheaper model."
        if found.affordable_tokens > 0
        else ". Send a shorter prompt, or use a cheaper model."
    )
    text = (
        f"This request needs {money(found.needed_pusd)} even with max_tokens {found.floor_tokens};"
        f" {money(headroom_pusd)} is left of the {_limit_name(quota)} of {whose(quota)}{fits}"
        f"{_resets(refused.resets_at_ms, now_ms, zone)}"
    )
    return _budget(text, refused, budget_status, found.affordable_tokens)


def not_priced(model: str) -> CallerError:
    return _no_price(
        f'Tollkeeper does not know what "{model}" costs, so it cannot keep you inside your cost limit.'
        " Operator: give it a price under providers.NAME.prices, or make the limit soft."
    )


def not_bounded(why: str) -> CallerError:
    return _no_price(f"Under a hard cost limit the most that a request can cost must be known; here it is not: {why}.")


def thinks_too_long(budget: int, cap: int) -> CallerError:
    """Refuse a thinking budget that the longest answer of the user has no room for."""
    return CallerError(
        400,
        "thinking_budget_too_large",
        f"This request asks for {budget} tokens of thinking, and your answers may have {cap} tokens in all"
        f" (max_tokens). Ask for a budget below {cap}, or ask the operator for more.",
        should_retry=False,
    )


def not_bookable(needed_pusd: int) -> CallerError:
    """Refuse what may cost more than one row of the ledger can hold."""
    return CallerError(
        400,
        "amount_too_large",
        f"This request may cost {money(needed_pusd)}, and at most {money(MAX_PUSD)} can be booked for one."
        " Ask for fewer max_tokens, or a smaller n.",
        param="max_tokens",
    )


def features_unpriced(names: list[str]) -> CallerError:
    return _no_price(
        "Under a hard cost limit this request is refused, because it asks for what has no price in tokens:"
        f" {', '.join(names)}. Leave it out, or ask the operator for a soft limit."
    )


def _no_price(text: str) -> CallerError:
    return CallerError(402, "price_unknown", text, type_="insufficient_quota", should_retry=False)


def _budget(
    text: str, refused: LimitExceeded, budget_status: int, affordable_max_tokens: int | None = None
) -> CallerError:
    resets_at_ms = refused.resets_at_ms
    headers = {} if resets_at_ms is None else {"x-tollkeeper-budget-resets-at": iso_utc(resets_at_ms)}
    return CallerError(
        budget_status,
        "insufficient_quota",
        text,
        type_="insufficient_quota",
        should_retry=False,
        headers=headers,
        limit=figures_of(refused, affordable_max_tokens),
    )


def figures_of(refused: LimitExceeded, affordable_max_tokens: int | None = None) -> LimitFigures:
    """Return what a limit says about its refusal, for programs."""
    quota = refused.quota
    if affordable_max_tokens is None and quota.kind == "cost" and refused.used + refused.reserved >= quota.amount:
        affordable_max_tokens = 0
    return LimitFigures(
        quota.scope,
        quota.kind,
        quota.window,
        quota.mode,
        quota.models,
        quota.amount,
        refused.used,
        refused.reserved,
        refused.needed,
        refused.resets_at_ms,
        affordable_max_tokens,
    )


def _rate(text: str, after_s: int, refused: LimitExceeded) -> CallerError:
    return CallerError(
        429,
        "rate_limit_exceeded",
        text,
        type_="rate_limit_exceeded",
        retry_after_s=after_s,
        headers={"retry-after-ms": str(after_s * 1000)},
        limit=figures_of(refused),
    )


def _cost_text(refused: LimitExceeded, open_requests: int, now_ms: int, zone: ZoneInfo) -> str:
    quota = refused.quota
    spent = f"({money(refused.used)}{_open(open_requests)})"
    verb = "is spent" if refused.used >= quota.amount else f"cannot pay {money(refused.needed)} more"
    return (
        f"The {_limit_name(quota)} of {money(quota.amount)} for {whose(quota)} {verb} {spent}."
        f"{_resets(refused.resets_at_ms, now_ms, zone)}"
    )


def _open(count: int) -> str:
    return "" if count == 0 else f", {count} request{'s' if count > 1 else ''} still open"


def _limit_name(quota: Quota) -> str:
    window = quota.window
    if window == "total":
        return "budget"
    return f"{_ADJECTIVES[window]} budget" if window in _ADJECTIVES else f"{window} budget"


def _per(window: str) -> str:
    return _WORDS.get(window, "in all" if window == "total" else f"in {window}")


def whose(quota: Quota) -> str:
    """Return whom a limit counts, and on which models, in words."""
    scope, _, name = quota.scope.partition(":")
    name_of = "everyone together" if scope == "all" else f'{scope.replace("_", " ")} "{name}"'
    return f"{name_of} on {listed(quota.models)}" if quota.models else name_of


def _resets(resets_at_ms: int | None, now_ms: int, zone: ZoneInfo) -> str:
    if resets_at_ms is None:
        return ""
    at = datetime.fromtimestamp(resets_at_ms / 1000, zone)
    return f" It resets at {at:%Y-%m-%d %H:%M} {at.tzname()} (in {span(resets_at_ms - now_ms)})."


def span(ms: int) -> str:
    """Return a length of time for people: '1 h 12 min', '45 s'."""
    minutes, seconds = divmod(max(0, -(-ms // 1000)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def money(pusd: int) -> str:
    """Return an amount in USD for people: exact, with at least two decimals."""
    text = pusd_to_usd(pusd)
    whole, _, fraction = text.partition(".")
    return f"${whole}.{fraction.ljust(2, '0')}" if pusd % PUSD_PER_USD else f"${whole}.00"
