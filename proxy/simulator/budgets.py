"""Budgets beside a key's own limit: what a guardrail or a workspace lets a key, or all keys together, spend. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

RESETS: Final = (None, "daily", "weekly", "monthly")
# In the order in which they are checked, each with whose limit a refusal names.
SCOPES: Final[Mapping[str, str]] = {
    "member": "openrouter_guardrail_budget",
    "api_key": "openrouter_guardrail_budget",
    "workspace_default_member": "openrouter_workspace_budget",
    "workspace_default_key": "openrouter_workspace_budget",
    "workspace": "openrouter_workspace_budget",
    "key_limit": "openrouter_key_limit",
}
_OF_A_KEY: Final = frozenset({"api_key", "workspace_default_key"})


class BudgetFieldError(ValueError):
    """A budget that cannot be; the text says why."""


class SimulatedBudget(Struct, frozen=True):
    """One budget. All keys of this account are one member's, so that a member's budget counts all of them."""

    scope: str
    limit_pusd: int
    reset: str | None

    @property
    def is_of_a_key(self) -> bool:
        return self.scope in _OF_A_KEY


def read_budgets(fields: Any) -> tuple[SimulatedBudget, ...]:
    """Read what a test sets, in the order in which it is checked; raises BudgetFieldError."""
    if not isinstance(fields, list):
        raise BudgetFieldError("budgets: a list is required")
    found = [_read(each) for each in fields]
    order = [*SCOPES]
    return tuple(sorted(found, key=lambda budget: order.index(budget.scope)))


def _read(each: Any) -> SimulatedBudget:
    given = each if isinstance(each, dict) else {}
    scope, limit_pusd, reset = given.get("scope"), given.get("limit_pusd"), given.get("reset")
    if not isinstance(scope, str) or scope not in SCOPES or scope == "key_limit":
        raise BudgetFieldError(f"budgets: scope is one of {', '.join(list(SCOPES)[:-1])}")
    if type(limit_pusd) is not int or limit_pusd < 0:
        raise BudgetFieldError("budgets: limit_pusd is a whole number of at least 0")
    if reset not in RESETS:
        raise BudgetFieldError("budgets: reset is daily, weekly, monthly or null")
    return SimulatedBudget(scope, limit_pusd, reset)
