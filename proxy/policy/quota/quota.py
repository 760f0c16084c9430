"""Limits, what requests come to in their terms, and what a limit answers: values, and the order of refusals."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, NamedTuple

from msgspec import Struct

from proxy.core.limit_kinds import NO_PIECES, ORDER, Taken
from proxy.core.on_spent import REFUSE, OnSpent
from proxy.policy.quota.model_set import Models, set_scope
from proxy.policy.quota.window import length_ms

Mode = Literal["hard", "soft"]

_SCOPE_ORDER = {"user": 0, "group": 1, "all": 2, "use_case": 3}


class QuotaError(RuntimeError):
    """A request was reserved twice, or ended without being open: a fault of the program."""


class Quota(NamedTuple):
    """One limit on one scope.

    scope is `user:<name>`, `group:<name>`, `all` or `use_case:<name>`; kind is a name of core/limit_kinds.py; amount is
    in pico-USD for cost, else a count; window is a word of policy/quota/window.py; concurrency has none (""). models:
    the set that it counts; empty: all.
    """

    scope: str
    kind: str
    amount: int
    window: str
    mode: Mode = "hard"
    models: Models = ()
    on_spent: OnSpent = REFUSE

    @property
    def counted_in(self) -> str:
        """Return the scope whose totals it is held against."""
        return set_scope(self.scope, self.models)


class Amounts(NamedTuple):
    """What a request may come to at most, and for soft limits what it is thought to come to.

    is_priced=False: its price is not known and cost_pusd is 0; then only soft cost limits may apply. pieces: of the
    kinds of core/limit_kinds.py, PIECES, in their order.
    """

    cost_pusd: int
    tokens: int
    requests: int = 1
    estimate_pusd: int = 0
    estimate_tokens: int = 0
    is_priced: bool = True
    pieces: tuple[int, ...] = NO_PIECES

    @property
    def counted(self) -> tuple[int, ...]:
        """Return the most it may come to, by kind in the order of COUNTED."""
        return (self.cost_pusd, self.tokens, self.requests, *self.pieces)

    @property
    def taken(self) -> Taken:
        """Return the most it may come to."""
        return self.cost_pusd, self.tokens, self.requests, self.pieces

    @property
    def likely(self) -> tuple[int, ...]:
        """Return what it is thought to come to, by kind in the order of COUNTED."""
        return (self.estimate_pusd, self.estimate_tokens, self.requests, *self.pieces)


Room = tuple[int, int, int, int]
"""What limits must leave: hard ones of cost and of tokens, and soft ones of both."""
NO_ROOM: Room = (0, 0, 0, 0)


class LimitExceeded(Struct, frozen=True):
    """Nothing was changed. needed is what the request asked of this quota.

    resets_at_ms is when its window ends, for a rolling one when its oldest hour leaves; None for the total
    and for concurrency. only_reservations_in_way: it would fit if the open requests came to nothing, so
    waiting may help.
    """

    quota: Quota
    used: int
    reserved: int
    needed: int
    resets_at_ms: int | None
    only_reservations_in_way: bool

    def retry_after_s(self, now_ms: int) -> int:
        """Return after how many seconds, 1 to 60, a new try makes sense; rounded up: never too early."""
        if self.resets_at_ms is None:
            return 1
        return max(1, min(60, -((now_ms - self.resets_at_ms) // 1000)))


class LimitRow(NamedTuple):
    """One line of GET /v1/me/limits; remaining is never below 0. Cost is in pico-USD."""

    scope: str
    kind: str
    window: str
    mode: Mode
    limit: int
    used: int
    reserved: int
    remaining: int
    resets_at_ms: int | None
    models: Models = ()


class SettledRow(NamedTuple):
    """Settled amounts of one user at an instant, or of the hour that begins at it (from a roll-up).

    above: the groups that were above the user's then, with spaces between them.
    """

    at_ms: int
    user: str
    group: str | None
    cost_pusd: int
    tokens: int
    requests: int
    pieces: tuple[int, ...] = NO_PIECES
    above: str | None = None

    @property
    def taken(self) -> Taken:
        """Return its amounts."""
        return self.cost_pusd, self.tokens, self.requests, self.pieces


@lru_cache(maxsize=4096)
def scopes_of(
    user: str, group: str | None, use_case: str | None = None, above: str | None = None, models: Models = ()
) -> tuple[str, ...]:
    """Return the scopes that a user's request counts in.

    use_case: one that has limits. above: the groups above the user's, with spaces between them. models: of a set.
    """
    groups = (group, *above.split()) if group and above else (group,) if group else ()
    scopes = (f"user:{user}", *[f"group:{name}" for name in groups], "all")
    if use_case is not None:
        scopes = (*scopes, use_case_scope(use_case))
    return tuple(set_scope(scope, models) for scope in scopes)


def use_case_scope(use_case: str) -> str:
    return f"use_case:{use_case}"


@lru_cache(maxsize=4096)
def refusal_order(quota: Quota) -> tuple[int, int, int, str, int, Models]:
    """Sort refusals: by kind, then the longest window, then user, group, all, then the lowest amount, then models."""
    length = -length_ms(quota.window) if quota.window else 0
    scope = _SCOPE_ORDER[quota.scope.partition(":")[0]]
    return ORDER[quota.kind], length, scope, quota.scope, quota.amount, quota.models


def first_refusal(refusals: Iterable[LimitExceeded]) -> LimitExceeded:
    """Return the one to answer with: first those that waiting does not cure, then by refusal_order."""
    return min(refusals, key=lambda refused: (refused.only_reservations_in_way, refusal_order(refused.quota)))
