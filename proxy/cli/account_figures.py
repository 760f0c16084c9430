"""Figures of an account at a provider, in words: credits, budgets, amounts and their age."""

from datetime import UTC, datetime
from typing import Any

_SCOPES = {
    "key_limit": "own limit",
    "api_key": "key's guardrail",
    "member": "member's guardrail",
    "workspace": "workspace",
    "workspace_default_key": "workspace, a key",
    "workspace_default_member": "workspace, a member",
}


def scope_text(budget: dict[str, Any]) -> str:
    """Return whom a budget counts, in words."""
    return _SCOPES.get(budget["scope"], str(budget["scope"]))


def budget_text(budget: dict[str, Any]) -> str:
    """Return a budget in one clause."""
    left, limit = amount_text(budget["left_pusd"]), amount_text(budget["limit_pusd"])
    when = resets_text(budget)
    return f"{scope_text(budget)} {limit}, {left} left" + ("" if when == "never" else f", resets {when}")


def credits_text(account: dict[str, Any]) -> str:
    """Return what is left of the credits, or why that is not known."""
    credits_ = account["credits"]
    if "key" not in account["questions"]:
        return "not told by its API; what a day was charged is"
    if credits_ is None:
        return (
            "not known: only a management key may read them. Make one at the provider and set it as"
            f" providers.{account['provider']}.management_key"
        )
    problem = "" if credits_["problem"] is None else f" {credits_['problem']}"
    if credits_["left_pusd"] is None:
        return f"not known.{problem}"
    bought, used, left = (amount_text(credits_[f"{name}_pusd"]) for name in ("bought", "used", "left"))
    return f"{left} left of {bought}, {used} used; heard {age_text(credits_['age_s'])}.{problem}"


def counted_text(window: dict[str, Any]) -> str:
    """Return what a key has counted today beside the ledger, in one clause."""
    counted, booked = amount_text(window["billed_pusd"]), amount_text(window["booked_pusd"])
    both = f"{counted} counted today (UTC), {booked} booked"
    if window["unexplained_pusd"]:
        amount = amount_text(abs(window["unexplained_pusd"]))
        return f"{both}; nothing explains {amount} of the difference: tollkeeper reconcile --keys"
    return both if not window["difference_pusd"] else f"{both}; the difference is explained"


def resets_text(budget: dict[str, Any]) -> str:
    """Return when a budget begins anew, or how often."""
    if budget["resets_at"] is None:
        return budget["resets"] or "never"
    moment = datetime.fromisoformat(budget["resets_at"]).astimezone(UTC)
    return f"{moment:%m-%d %H:%M}Z"


def age_text(age_s: int) -> str:
    """Return how long ago something was heard."""
    from proxy.pipeline.admission.limit_errors import span  # noqa: PLC0415 - keeps --help quick

    return "just now" if age_s < 1 else f"{span(age_s * 1000)} ago"


def amount_text(pusd: int) -> str:
    """Return an amount for people: to the cent, down, from one dollar on; smaller ones as they are."""
    from proxy.core.money import PUSD_PER_USD, pusd_to_usd  # noqa: PLC0415 - keeps --help quick

    cent = PUSD_PER_USD // 100
    if abs(pusd) < PUSD_PER_USD:
        text = pusd_to_usd(abs(pusd))
    else:
        cents = -(pusd // cent) if pusd < 0 else pusd // cent
        text = f"{cents // 100}.{cents % 100:02}"
    return f"{'-' if pusd < 0 else ''}${text}"
