"""Add, change and remove one limit, in the settings of its user or group or in a row of its own."""

from collections.abc import Mapping
from typing import Any, Protocol

from proxy.config.limit import Limit
from proxy.config.overlay import stored_limits
from proxy.config.schema import Limits
from proxy.storage.audit import Actor
from proxy.storage.groups import GroupStore
from proxy.storage.limits import (
    LimitPlace,
    LimitScope,
    LimitStore,
    with_limit,
    with_other_limit,
    without_limit,
)
from proxy.storage.stored_settings import patched
from proxy.storage.users import UserStore


class LimitHolders(Protocol):
    """Everything in whose settings a limit may stand."""

    @property
    def users(self) -> UserStore: ...

    @property
    def groups(self) -> GroupStore: ...

    @property
    def limits(self) -> LimitStore: ...


def add_limit(
    holders: LimitHolders, now_ms: int, actor: Actor, scope: LimitScope, limit: Limit, *, is_configured: bool
) -> None:
    """Add a limit; raises UserError where there is one of the same kind, window and mode.

    is_configured: the user or group is one of the configuration, who may have no row yet.
    """
    if scope.what == "user" and is_configured:
        holders.users.take_up_user(now_ms, scope.name)
    _put(holders, now_ms, actor, scope, with_limit(scope, _limits(holders, scope), limit))


def set_limit(holders: LimitHolders, now_ms: int, actor: Actor, place: LimitPlace, limit: Limit) -> None:
    """Put another limit in the place of one; raises MissingError, or UserError where it contradicts a third."""
    settings = with_other_limit(place, _limits(holders, place.scope), limit)
    _put(holders, now_ms, actor, place.scope, settings)


def remove_limit(holders: LimitHolders, now_ms: int, actor: Actor, place: LimitPlace) -> None:
    """Remove a limit; raises MissingError."""
    _put(holders, now_ms, actor, place.scope, without_limit(place, _limits(holders, place.scope)))


def _limits(holders: LimitHolders, scope: LimitScope) -> Limits:
    if scope.what == "user":
        return _read(holders.users.find_user(scope.name)["settings"].get("limits"))
    if scope.what == "group":
        return _read(_group_settings(holders, scope.name).get("limits"))
    return _read(holders.limits.find_limits(scope))


def _read(settings: Mapping[str, Any] | None) -> Limits:
    """Return limits; of what cannot be read those that hold in its place, so that they can be removed."""
    return stored_limits({"settings": settings or {}})


def _put(holders: LimitHolders, now_ms: int, actor: Actor, scope: LimitScope, settings: Mapping[str, Any]) -> None:
    if scope.what == "user":
        own = patched(holders.users.find_user(scope.name)["settings"], {"limits": settings or None})
        holders.users.set_user(now_ms, actor, scope.name, {"settings": own})
    elif scope.what == "group":
        holders.groups.set_group(now_ms, actor, scope.name, {"limits": settings or None})
    else:
        holders.limits.put_limits(now_ms, actor, scope, settings)


def _group_settings(holders: LimitHolders, name: str) -> Mapping[str, Any]:
    rows = (row for row in holders.groups.list_groups() if row["name"] == name)
    found: Mapping[str, Any] = next(rows, {"settings": {}})["settings"]
    return found
