"""Limits and what is held against them: quota (values), model_set, window, scope_totals, limit_windows, book."""

from proxy.policy.quota.book import FineRows, QuotaBook, fine_rows
from proxy.policy.quota.limit_windows import CountedLimit
from proxy.policy.quota.model_set import (
    NOT_KNOWN,
    ModelAnswer,
    Models,
    is_counted,
    joined,
    may_serve,
    set_scope,
    undated,
)
from proxy.policy.quota.quota import (
    NO_ROOM,
    Amounts,
    LimitExceeded,
    LimitRow,
    Mode,
    Quota,
    QuotaError,
    Room,
    SettledRow,
    refusal_order,
    scopes_of,
    use_case_scope,
)
from proxy.policy.quota.scope_totals import Hold

__all__ = [
    "NOT_KNOWN",
    "NO_ROOM",
    "Amounts",
    "CountedLimit",
    "FineRows",
    "Hold",
    "LimitExceeded",
    "LimitRow",
    "Mode",
    "ModelAnswer",
    "Models",
    "Quota",
    "QuotaBook",
    "QuotaError",
    "Room",
    "SettledRow",
    "fine_rows",
    "is_counted",
    "joined",
    "may_serve",
    "refusal_order",
    "scopes_of",
    "set_scope",
    "undated",
    "use_case_scope",
]
