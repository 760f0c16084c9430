"""The use of provider keys that have limits of their own, so that a key that is used up is skipped.

A key is used up when what was spent with it, and what running attempts have set aside, reach a limit: one attempt more
may begin below it, whatever it comes to. Limits of users are kept to the pico-USD, in admission/limiter.py.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from proxy.core.limit_kinds import INDEX, NO_PIECES
from proxy.policy.quota import Quota
from proxy.policy.quota.scope_totals import Hold, LateSums, RequestScopes, ScopeTotals, end_hold
from proxy.providers.key import Key, key_scope


class PastKeyUse(NamedTuple):
    """One attempt of the ledger; cost_pusd: what it cost, or may have."""

    started_ms: int
    cost_pusd: int


class KeyUse:
    """The totals of limited keys, by the scope of their limits. Windows are those of zone."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self._late = LateSums(zone)
        self._scopes: dict[str, ScopeTotals] = {}
        self._loaded: dict[str, tuple[Quota, ...]] = {}  # the limits that the totals were summed up for

    def used_up(self, keys: Sequence[Key], now_ms: int) -> tuple[int, ...]:
        """Return the indices of the keys that must not be used now."""
        return tuple(i for i, key in enumerate(keys) if any(self._reached(quota, now_ms) for quota in key.quotas))

    def begin(self, key: Key, started_ms: int, cost_pusd: int) -> Hold | None:
        """Count an attempt, and set aside what it may cost; None where the key has no limits."""
        if not key.quotas:
            return None
        totals = self._totals(key.quotas[0].scope)
        totals.settle(started_ms, (0, 0, 1, NO_PIECES), self.zone)
        scopes = RequestScopes((totals,), self._late)
        held = Hold(object(), scopes, started_ms, (cost_pusd, 0, 0, NO_PIECES), running=True)
        totals.open[held.request_id] = held  # a window that moves meanwhile is summed with it
        totals.hold(started_ms, held.amounts)
        return held

    def end(self, held: Hold, cost_pusd: int | None) -> None:
        """Replace what was set aside by the cost; None: it is not known yet, and what was set aside stays."""
        spent_pusd = held.cost_pusd if cost_pusd is None else cost_pusd
        end_hold(held, held.scopes.all, (spent_pusd, 0, 0, NO_PIECES), self.zone)

    def adjust(self, provider: str, key: str, at_ms: int, cost_pusd: int, requests: int = 0) -> None:
        """Add to what was spent with a key at an instant (below 0: take from it), where the key has limits."""
        totals = self._scopes.get(key_scope(provider, key))
        if totals is not None:
            totals.settle(at_ms, (cost_pusd, 0, requests, NO_PIECES), self.zone)

    def knows(self, key: Key) -> bool:
        """Return whether the past of a key is known as far back as its limits reach."""
        return self._loaded.get(key.quotas[0].scope) == key.quotas

    def load(self, key: Key, past: Iterable[PastKeyUse]) -> None:
        """Load the past of a key whose limits are new or changed; it includes attempts under way."""
        scope = key.quotas[0].scope
        totals = self._scopes[scope] = self._new_totals(scope)
        self._loaded[scope] = key.quotas
        for one in past:
            totals.settle(one.started_ms, (one.cost_pusd, 0, 1, NO_PIECES), self.zone)

    def forget_others(self, scopes: Collection[str]) -> None:
        """Remove the keys that no longer have limits: nothing is counted for them."""
        for scope in self._loaded.keys() - scopes:
            del self._loaded[scope]
            self._scopes.pop(scope, None)

    def _reached(self, quota: Quota, now_ms: int) -> bool:
        window = self._totals(quota.scope).window(quota.window, self.zone, now_ms)
        index = INDEX[quota.kind]
        return window.settled[index] + window.reserved[index] >= quota.amount

    def _totals(self, scope: str) -> ScopeTotals:
        found = self._scopes.get(scope)
        if found is None:
            found = self._scopes[scope] = self._new_totals(scope)
        return found

    def _new_totals(self, scope: str) -> ScopeTotals:
        totals = ScopeTotals(scope, self._late)
        totals.watch(())
        return totals
