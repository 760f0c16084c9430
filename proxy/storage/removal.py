"""Decide which old rows may be removed: none that a limit in force, or its window, may still be counted from."""

from collections.abc import Collection
from zoneinfo import ZoneInfo

from msgspec import Struct

from proxy.policy.quota import Quota, fine_rows
from proxy.policy.quota.window import HOUR_MS, TOTAL, window_at


class RemovalPlan(Struct, frozen=True):
    """Which rows may go: those that began before before_ms, but for some hours, users and groups.

    held_by names the limits that keep rows for as long as they exist, because their window never ends.
    """

    before_ms: int
    hours: frozenset[int]
    users: frozenset[str]
    groups: frozenset[str]
    held_by: tuple[str, ...] = ()


def removable(age_ms: int, now_ms: int, zone: ZoneInfo, quotas: Collection[Quota]) -> RemovalPlan:
    """Return what may be removed at now_ms: older than age_ms and in no window of a limit that is open now."""
    fine = fine_rows(now_ms, zone)
    before_ms = min(now_ms - age_ms, fine.since_ms)
    users, groups, held_by = set(), set(), set()
    for quota in quotas:
        if quota.kind == "concurrency":
            continue
        if quota.window != TOTAL:
            before_ms = min(before_ms, window_at(quota.window, zone, now_ms).start_ms)
            continue
        held_by.add(" ".join((f"{quota.scope} {quota.kind}/{quota.window}", *quota.models)))
        what, _, name = quota.scope.partition(":")
        if what == "user":
            users.add(name)
        elif what == "group":
            groups.add(name)
        else:
            before_ms = 0
    return RemovalPlan(
        max(0, before_ms - before_ms % HOUR_MS),
        fine.hours,
        frozenset(users),
        frozenset(groups),
        tuple(sorted(held_by)),
    )
