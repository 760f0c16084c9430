"""Limits and what is held against them: quota (values), window (of time), scope_totals, limit_windows, book."""

from proxy.policy.quota.book import FineRows, QuotaBook, fine_rows
from proxy.policy.quota.limit_windows import CountedLimit
from proxy.policy.quota.quota import (
    Amounts,
    LimitExceeded,
    LimitRow,
    Mode,
    Quota,
    QuotaError,
    SettledRow,
    refusal_order,
    scopes_of,
    use_case_scope,
)
from proxy.policy.quota.scope_totals import Hold

__all__ = [
    "Amounts",
    "CountedLimit",
    "FineRows",
    "Hold",
    "LimitExceeded",
    "LimitRow",
    "Mode",
    "Quota",
    "QuotaBook",
    "QuotaError",
    "SettledRow",
    "fine_rows",
    "refusal_order",
    "scopes_of",
    "use_case_scope",
]
