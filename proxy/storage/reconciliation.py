"""The ledger beside the provider's bill, as it is kept: what the provider charged by day, and what a comparison found.

Days are UTC's, as YYYY-MM-DD; amounts are pico-USD.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct, field

from proxy.policy.reconciliation.day_comparison import BilledCall, BookedApart, BookedRequest, DriftEntry
from proxy.policy.reconciliation.key_comparison import KeyBooks
from proxy.policy.reconciliation.sums_comparison import BookedSum

Level = Literal["calls", "models", "keys", "history"]
"""How fine a day was compared: call by call, by sums of models, by what keys have counted, or not at all: it was before
the first request."""

ENTRIES_KEPT_DAYS = 400  # how long single differences are kept; sums of classes stay
ENTRIES_MAX = 500  # kept of one class of a day, the largest; the sums are of all
SOURCE = "bill of "
"""What an adjustment that a comparison led to begins its source with; the name of the provider follows."""
WHOLE_ACCOUNT = ""
"""In place of the hash of a key: all keys of an account."""


class ActivitySum(NamedTuple):
    """What one model at one endpoint was charged on a day; None: not told. As the columns of provider_activity."""

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


def count_of(usage_pusd: int, byok_usage_pusd: int) -> ActivitySum:
    """Return what a key had counted of a day: it names no model."""
    return ActivitySum("", "", "", "", usage_pusd, byok_usage_pusd, None, None, None, None, None)


class ClassSum(NamedTuple):
    """All differences of one class. adjusted_pusd: what was booked of it since, which is no difference any more."""

    drift_class: str
    amount_pusd: int
    number: int
    adjusted_pusd: int = 0
    adjusted: int = 0


class HistorySum(NamedTuple):
    """What a provider charged for a model before the first request here; None: not told."""

    provider: str
    model: str
    requests: int | None
    input_tokens: int | None
    output_tokens: int | None
    cost_pusd: int


def days_between(since_ms: int | None, until_ms: int | None) -> tuple[str | None, str | None]:
    """Return the first and the last day of UTC that a time reaches into; None: without an end."""
    first = None if since_ms is None else day_of(since_ms)
    return first, None if until_ms is None else day_of(until_ms - 1)


def day_of(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()


class ComparedDay(Struct, frozen=True):
    """What a comparison of one day came to.

    calls: how many the bill lists of the proxy's keys. is_final: the day is over, all that the provider tells of it was
    read, and nothing is awaited: it is not compared again unless the provider changes its sums. problem: why it could
    not be compared whole; None: it was.
    """

    provider: str
    day: str
    level: Level
    booked_pusd: int
    billed_pusd: int
    calls: int
    is_final: bool
    problem: str | None
    compared_ms: int
    classes: tuple[ClassSum, ...] = ()


class DayResult(Struct, frozen=True):
    """All that is written of a comparison, in one transaction.

    pairs: calls that turned out to be requests, by generation id. activity: what the provider told of the day, by hash
    of the key or WHOLE_ACCOUNT; one that is not in it stays as it was, but for counts of keys. Where the level of the
    day is keys, there is count_of() for each key, and nothing else.
    """

    day: ComparedDay
    entries: Sequence[DriftEntry]
    pairs: Mapping[str, int] = field(default_factory=dict)
    activity: Mapping[str, Sequence[ActivitySum]] = field(default_factory=dict)


class StoredEntry(Struct, frozen=True):
    """A difference of a day, as it was found last."""

    provider: str
    day: str
    n: int
    entry: DriftEntry


class DayQuestion(Struct, frozen=True):
    """Which day of the ledger is wanted. calls: what the bill lists of the day and of the hours after it.

    keys: the hash of each of the provider's keys, by its name; own_key: what the ledger calls a key of a user's own.
    """

    provider: str
    day_ms: int
    calls: Sequence[BilledCall]
    keys: Mapping[str, str]
    own_key: str


class KeyQuestion(NamedTuple):
    """Which days of a provider's key are wanted, by its hash; what began in [since_ms, until_ms).

    places: all names that it has here, as "provider/key", for rows that remember no hash. users_key: what the ledger
    calls a key of a user's own.
    """

    places: tuple[str, ...]
    key_hash: str
    since_ms: int
    until_ms: int
    users_key: str


class LedgerDay(Struct, frozen=True):
    """What the ledger has of a day and a provider, beside the calls of the bill; see DayBooks for the fields.

    has_rows: the requests are there one by one; else retention has removed some, and there are sums alone. elsewhere:
    calls that are requests of other entries of the configuration, which have a key of this one: of their days.
    """

    requests: Sequence[BookedRequest]
    earlier: frozenset[str]
    strangers: frozenset[str]  # calls that no row names, those of the hours after the day too
    apart: Sequence[BookedApart]
    agreed_pusd: int
    has_rows: bool = True
    shared_keys: frozenset[str] = frozenset()
    elsewhere: frozenset[str] = frozenset()


def class_sums(entries: Iterable[DriftEntry]) -> list[ClassSum]:
    """Return the sum of each class."""
    found: dict[str, ClassSum] = {}
    for entry in entries:
        known = found.get(entry.drift_class, ClassSum(entry.drift_class, 0, 0))
        amount_pusd = known.amount_pusd + entry.amount_pusd
        found[entry.drift_class] = known._replace(amount_pusd=amount_pusd, number=known.number + 1)
    return [*found.values()]


class ReconciliationReader(Protocol):
    """What is asked of comparisons, and read for them."""

    def ledger_day(self, question: DayQuestion) -> LedgerDay:
        """Return what the ledger has of a day that does not agree with the calls of the bill at sight."""
        ...

    def ledger_sums(self, provider: str, day_ms: int, own_key: str) -> list[BookedSum]:
        """Return what the roll-up has of a day, by model, and how much of it is not exact as far as rows tell."""
        ...

    def key_books(self, question: KeyQuestion) -> KeyBooks:
        """Return what the ledger has of a key, by day of UTC, and what comparisons have found of it, as KeyDay says.

        Of the day before the first one there are its last two hours.
        """
        ...

    def key_names(self, provider: str) -> dict[str, str]:
        """Return the names of all keys that a provider ever had here, by their hash."""
        ...

    def keys_begun_ms(self, provider: str) -> dict[str, int]:
        """Return when each key of a provider came here, by its hash."""
        ...

    def first_request_ms(self) -> int | None:
        """Return when the first request that was ever booked began, to the hour where its row is gone; None: never."""
        ...

    def compared_days(self, since_day: str, until_day: str, provider: str | None = None) -> list[ComparedDay]:
        """Return the comparisons of days, both ends included, the oldest first."""
        ...

    def drift_entries(
        self, since_day: str, until_day: str, drift_class: str | None, after: tuple[str, str, int] | None, count: int
    ) -> list[StoredEntry]:
        """Return differences in the order of day, provider and number, those after a place."""
        ...

    def provider_history(self, since_day: str | None, until_day: str | None) -> list[HistorySum]:
        """Return what was charged on days before the first request, both ends included, the dearest first."""
        ...

    def activity_sums(self, provider: str, since_day: str) -> dict[str, int]:
        """Return what the provider told of the whole account, by day."""
        ...
