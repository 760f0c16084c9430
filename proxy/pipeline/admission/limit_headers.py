"""What every answer tells a user about limits: the money left, and OpenAI's x-ratelimit-* headers."""

from proxy.core.clock import iso_utc
from proxy.core.money import pusd_to_usd
from proxy.pipeline.admission.limiter import MemoryLimiter
from proxy.pipeline.values.allowance import Allowance
from proxy.policy.quota import LimitRow


def limit_headers(allowance: Allowance, desk: MemoryLimiter, now_ms: int) -> dict[str, str]:
    """Give the headers for a user with limits; of several limits of a kind the one that leaves least is told."""
    headers: dict[str, str] = {}
    least: dict[str, LimitRow] = {}
    for row in desk.book.limits_view(allowance.quotas, now_ms):
        other = least.get(row.kind)
        if other is None or row.remaining < other.remaining:
            least[row.kind] = row
    cost = least.get("cost")
    if cost is not None:
        headers["x-tollkeeper-budget-remaining-usd"] = pusd_to_usd(cost.remaining)
        if cost.resets_at_ms is not None:
            headers["x-tollkeeper-budget-resets-at"] = iso_utc(cost.resets_at_ms)
    for kind in ("requests", "tokens"):
        tightest = least.get(kind)
        if tightest is not None:
            headers[f"x-ratelimit-limit-{kind}"] = str(tightest.limit)
            headers[f"x-ratelimit-remaining-{kind}"] = str(tightest.remaining)
            if tightest.resets_at_ms is not None:
                headers[f"x-ratelimit-reset-{kind}"] = go_duration(tightest.resets_at_ms - now_ms)
    return headers


def go_duration(ms: int) -> str:
    """Write a length of time as OpenAI does in x-ratelimit-reset-*: 12ms, 1s, 6m0s, 1h2m3s."""
    if ms < 1000:
        return f"{max(ms, 0)}ms"
    minutes, seconds = divmod(-(-ms // 1000), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
