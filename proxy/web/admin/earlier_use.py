"""What the limits of today had been used for when a request came, worked out from the ledger afterwards.

What a limit said at that moment is not stored: it would cost every request a write for the few that somebody asks
about. What the requests begun before it in the same window came to is in the roll-up.
"""

from collections.abc import Callable

from proxy.pipeline.identity.identify import limited
from proxy.policy.quota import Quota
from proxy.policy.quota.model_set import ModelAnswer, is_counted
from proxy.policy.quota.window import window_at
from proxy.storage.request_reports import RequestEntry
from proxy.storage.spending import SpendingRow, UsageSelection
from proxy.storage.users import MissingError
from proxy.web.admin.explanation import EarlierUse
from proxy.web.admin.route import AdminRequest
from proxy.web.explain import identity_of

_FIGURES: dict[str, Callable[[SpendingRow], int]] = {
    "cost": lambda row: row.cost_pusd,
    "tokens": lambda row: row.input_tokens + row.output_tokens,
    "requests": lambda row: row.requests,
}


async def earlier_use(request: AdminRequest, entry: RequestEntry) -> list[EarlierUse]:
    """Return it for those limits of the request's user, group, use case and everyone that the roll-up can answer."""
    services = request.deps.services
    snapshot = services.live.current
    assert entry.user is not None  # of a request with a row
    try:
        row = await request.read(services.reports.find_user, entry.user)
    except MissingError:
        row = None
    identity = identity_of(entry.user, row, snapshot)
    if entry.use_case is not None:
        identity = limited(identity, entry.use_case, snapshot)
    quotas = [quota for quota in identity.allowance.all_quotas if quota.kind in _FIGURES and _column(quota, entry)]
    return [EarlierUse(quota, await request.read(_used, request, quota, entry)) for quota in quotas]


def _column(quota: Quota, entry: RequestEntry) -> tuple[str, str] | None:
    """Return the column of the roll-up and its value that a limit counts; ("", "") for all rows. None: no single one.

    A group above the request's own counts several.
    """
    sort, _, name = quota.scope.partition(":")
    if sort == "all":
        return "", ""
    known = {"user": entry.user, "group": entry.group_name, "use_case": entry.use_case}
    return (sort, name) if known.get(sort) == name else None


def _used(request: AdminRequest, quota: Quota, entry: RequestEntry) -> int:
    services = request.deps.services
    zone = services.live.current.zone
    since_ms = window_at(quota.window, zone, entry.started_ms).start_ms
    word, value = _column(quota, entry) or ("", "")
    of_models = ("provider", "model") if quota.models else ()
    wanted = UsageSelection(
        (*of_models, *((word,) if word else ())),
        since_ms,
        entry.started_ms,
        value if word == "user" else None,
    )
    return sum(
        _FIGURES[quota.kind](row)
        for row in services.reports.usage(wanted, zone).rows
        if (not word or row.key[-1] == value)
        and (not quota.models or is_counted(quota.models, ModelAnswer(row.key[0], row.key[1])))
    )
