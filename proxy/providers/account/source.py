"""What can be asked of an account, and the answers. Amounts are integers of pico-USD, rounded up where finer.

An amount may be negative: a refund, or what is left of a budget that is overdrawn.
"""

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import Final, Literal, NamedTuple, Protocol

from msgspec import Struct

from proxy.core.errors import TollkeeperError
from proxy.core.secret import Secret
from proxy.providers.generation import GenerationRecord
from proxy.providers.key import Key

AccountQuestion = Literal["key", "credits", "keys", "activity", "generation_costs", "generation"]
KEY_LIMIT: Final = "key_limit"
"""The scope of a key's own limit."""
TOLD_MAX_S: Final = 86_400.0
"""Nobody is left alone for longer, whatever is told: more than a day is rather a mistake, or the end of a month."""
AccountErrorKind = Literal["refused", "limited", "unavailable", "unreadable"]


class AnswerError(ValueError):
    """An answer that is not as it should be; place says where and what of it, without any value."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place


class AccountError(TollkeeperError):
    """A question without an answer; the text is a sentence that says what happened and what to do.

    refused      asking again with the same key gives the same: the key may not, nothing is there, or it is spent; by
                 the provider's own error only, for a firewall or a gateway on the way knows nothing of the key
    limited      too many questions; retry_after_s says how long to wait, where the provider does
    unavailable  not now: no connection, a time-out, the provider's own failure, or somebody else's page
    unreadable   an answer that makes no sense

    status is the answer's, None without one. is_bad_key: the provider does not know the key; a spent budget, or a
    question that only another kind of key may ask, is none. was_sent False: certainly nothing reached the provider.
    """

    def __init__(
        self,
        kind: AccountErrorKind,
        text: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        is_bad_key: bool = False,
        request: str = "",
        was_sent: bool = True,
    ) -> None:
        super().__init__(text)
        self.kind: Final = kind
        self.status: Final = status
        self.retry_after_s: Final = retry_after_s
        self.is_bad_key: Final = is_bad_key
        self.was_sent: Final = was_sent
        self.request = request  # method and path, "" where none was made


class Spending(Struct, frozen=True):
    """What was spent in all, and in the running day, week (from Monday) and month of UTC; None: it is not told."""

    total_pusd: int
    day_pusd: int | None = None
    week_pusd: int | None = None
    month_pusd: int | None = None


class BudgetLayer(Struct, frozen=True):
    """One of the budgets that a provider checks before it answers; left_pusd of 0 or less: it refuses.

    scope is the provider's word for whom it counts; resets is daily, weekly or monthly, None: never.
    """

    scope: str
    limit_pusd: int
    spent_pusd: int
    left_pusd: int
    resets: str | None
    resets_at: datetime | None
    includes_byok: bool


class FreeRequests(Struct, frozen=True):
    """Requests to free models in the running UTC day, over all keys of the account."""

    used: int
    limit: int
    left: int


class KeyStatus(Struct, frozen=True):
    """What a provider says of one key. limit_pusd None: it has no limit of its own.

    budgets: every layer that is checked, in that order, the key's own limit among them; empty where none is told.
    unread: what of it makes no sense, by the provider's names; where that is what says the limit, None is no answer.
    byok_used None: it is unread.
    """

    label: str
    is_management: bool
    is_free_tier: bool
    limit_pusd: int | None
    left_pusd: int | None
    resets: str | None
    includes_byok: bool
    used: Spending
    byok_used: Spending | None
    expires_at: datetime | None = None
    budgets: tuple[BudgetLayer, ...] = ()
    free_requests: FreeRequests | None = None
    unread: tuple[str, ...] = ()

    def layers(self) -> tuple[BudgetLayer, ...]:
        """Return the budgets; of a server that tells none, the key's own limit stands for them."""
        if self.budgets or self.limit_pusd is None or self.left_pusd is None:
            return self.budgets
        spent_pusd = self.limit_pusd - self.left_pusd
        own = BudgetLayer(KEY_LIMIT, self.limit_pusd, spent_pusd, self.left_pusd, self.resets, None, self.includes_byok)
        return (own,)


class ListedKey(Struct, frozen=True):
    """A key in the account's list. hash: SHA-256 of the secret in hex; unread, byok_used as in KeyStatus."""

    hash: str
    name: str
    label: str
    is_disabled: bool
    limit_pusd: int | None
    left_pusd: int | None
    resets: str | None
    includes_byok: bool
    used: Spending
    byok_used: Spending | None
    created_at: datetime | None = None
    last_used_at: datetime | None = None
    expires_at: datetime | None = None
    unread: tuple[str, ...] = ()


class AccountCredits(Struct, frozen=True):
    """What was paid in, and what of it was used, since the account exists."""

    bought_pusd: int
    used_pusd: int

    @property
    def left_pusd(self) -> int:
        return self.bought_pusd - self.used_pusd


class ActivityRow(Struct, frozen=True):
    """What one model at one endpoint was charged on one UTC day, over all keys or the one that was asked for.

    usage_pusd leaves out what other providers bill for own keys; that is byok_usage_pusd. A count that the source does
    not tell is None.
    """

    date: date
    model: str
    permaslug: str
    endpoint_id: str
    provider_name: str
    usage_pusd: int
    byok_usage_pusd: int
    requests: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None
    cached_tokens: int | None


class TakenCosts(NamedTuple):
    """What an answer was that tells the cost of generations, to whoever asked for it.

    calls: how many it names; is_truncated: it does not tell all of the time. problem: why it is no such answer: it is
    not whole JSON, tells an error, or has another shape; then place says where.
    """

    calls: int = 0
    is_truncated: bool = False
    problem: Literal["", "no_json", "error", "shape"] = ""
    place: str = ""


TakeCosts = Callable[[bytes], Awaitable[TakenCosts]]
"""Takes the body of such an answer. It may have a hundred thousand rows: they are read where no request waits."""


class BilledCost(Struct, frozen=True):
    """What a day's bill has for a model, or for something else."""

    model: str  # or what else was charged
    pusd: int
    currency: str


class BilledTokens(Struct, frozen=True):
    """What a model was used for on a day; None: not told, or not in a way that makes sense."""

    model: str
    requests: int | None
    prompt: int | None
    completion: int | None
    cached: int | None


class AccountSource(Protocol):
    """The management side of one provider. Each question is one look, nothing is kept; all raise AccountError.

    Questions that are not in ``questions`` are refused with a sentence that says why.
    """

    provider: str  # its name in the configuration
    questions: frozenset[AccountQuestion]  # that can be asked of this provider with the keys that there are

    async def key(self, secret: Secret) -> KeyStatus:
        """Return what the provider says of a key, asked with this key."""
        ...

    async def credits(self) -> AccountCredits: ...

    async def keys(self) -> tuple[ListedKey, ...]:
        """Return every key of the account, disabled ones included."""
        ...

    async def activity(self, day: date, key_hash: str | None = None) -> tuple[ActivityRow, ...]:
        """Return what was charged on a completed UTC day; key_hash (SHA-256 in hex): by this key alone."""
        ...

    async def generation_costs(self, start_ms: int, end_ms: int, key_hash: str | None, take: TakeCosts) -> bool:
        """Have taken what each generation of a time, today included, was charged; the end is exclusive. Epoch ms.

        Of several answers a later one knows better. Bills of other providers for own keys are left out. Return whether
        there were more, which could not be had.
        """
        ...

    async def generation(self, generation_id: str, key: Key) -> GenerationRecord | None:
        """Return the provider's record of one answer, asked with the key that it was made with; None: there is none."""
        ...
