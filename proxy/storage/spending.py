"""What was spent, summed by words: which words there are, and the sums with their amounts in the local currency."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from proxy.core.counts import NO_COUNTS, Counts
from proxy.core.money import pusd_to_usd
from proxy.policy.exchange_rates import EXACT, RateStep, plain_text
from proxy.policy.time_segments import TIME_WORDS, label_order

ROLLED_WORDS: Final = (
    "user",
    "group",
    "model",
    "provider",
    "use_case",
    "end_user",
)  # the roll-up by the hour knows them
ROW_WORDS: Final = ("token", "key", "tag", "endpoint", "status", "requested_model", "session")  # single rows do
TAG: Final = "tag:"  # and the name of one
USAGE_WORDS: Final = (*ROLLED_WORDS, *ROW_WORDS, *TIME_WORDS)
OTHERS: Final = "\x00others"
"""The value of a word that stands for all that are not kept apart."""
_TAG_MAX_CHARS = 100


def read_usage_words(text: str) -> tuple[str, ...]:
    """Return the words of a list with commas; raises ValueError that says which there are."""
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    unknown = [word for word in words if not is_usage_word(word)]
    if unknown or not words or len(set(words)) < len(words):
        raise ValueError(f"write some of {', '.join(USAGE_WORDS)} or {TAG}NAME, each once.")
    return words


def is_usage_word(word: str) -> bool:
    return word in USAGE_WORDS or (word.startswith(TAG) and len(TAG) < len(word) <= _TAG_MAX_CHARS)


def is_of_rows(word: str) -> bool:
    """Return whether a word is known of single rows only."""
    return word in ROW_WORDS or word.startswith(TAG)


def sum_local(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """Return the exact sum of amounts in the local currency; None where one of them is not known."""
    total = Decimal(0)
    for amount in amounts:
        if amount is None:
            return None
        total = EXACT.add(total, amount)
    return total


class UsageSelection(Struct, frozen=True):
    """Which requests are summed, and by what: those that began in [since_ms, until_ms), by words of USAGE_WORDS.

    rates: what the currency that cost_local is in costs over time, as Reports.rates() returns it. kept: a word of by
    and the values of it that are kept apart; all others together have the value OTHERS. only: words of ROLLED_WORDS and
    the value that a request has to have of each.
    """

    by: tuple[str, ...]
    since_ms: int | None = None
    until_ms: int | None = None
    user: str | None = None
    rates: Sequence[RateStep] = ()
    kept: tuple[str, tuple[str, ...]] | None = None
    only: tuple[tuple[str, str], ...] = ()

    @property
    def needs_rows(self) -> bool:
        """Return whether single rows are read: slow for millions of them."""
        return any(map(is_of_rows, self.by))


class SpendingRow(Struct, frozen=True):
    """Sums of settled and released requests. key holds a text for each word of `by`, "" for none.

    cached_tokens, reasoning_tokens and those of counts are parts of the input and of the output.
    """

    key: tuple[str, ...]
    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost_pusd: int
    cached_tokens: int
    reasoning_tokens: int
    counts: Counts
    cost_local: Decimal | None = None  # exact, each part by the rate of its time; None: no rate is known

    @classmethod
    def total(cls, rows: "Sequence[SpendingRow]", name: str = "total") -> "SpendingRow":
        """Return the sum of all rows, under a name."""
        counts = NO_COUNTS
        for row in rows:
            counts = counts.plus(row.counts)
        return cls(
            (name,),
            sum(row.requests for row in rows),
            sum(row.errors for row in rows),
            sum(row.input_tokens for row in rows),
            sum(row.output_tokens for row in rows),
            sum(row.cost_pusd for row in rows),
            sum(row.cached_tokens for row in rows),
            sum(row.reasoning_tokens for row in rows),
            counts,
            sum_local(row.cost_local for row in rows),
        )

    @classmethod
    def of_figures(
        cls, key: tuple[str, ...], figures: Sequence[int], cost_local: Decimal | None = None
    ) -> "SpendingRow":
        """Return sums from figures in the order of the fields."""
        requests, errors, input_tokens, output_tokens, cost_pusd, cached_tokens, reasoning_tokens, *counts = figures
        return cls(
            key,
            requests,
            errors,
            input_tokens,
            output_tokens,
            cost_pusd,
            cached_tokens,
            reasoning_tokens,
            Counts(*counts),
            cost_local,
        )

    def under(self, key: tuple[str, ...]) -> "SpendingRow":
        """Return the same sums under another key."""
        return replace(self, key=key)

    def ratios(self, total: "SpendingRow") -> dict[str, str | None]:
        """Return what follows from the sums, as decimal texts: shares from 0 to 1, amounts in USD; None: of nothing."""
        each, thousand = self.each_pusd, self.per_1k_tokens_pusd
        return {
            "share": _text(self.share_of(total)),
            "cached_share": _text(self.cached_share),
            "usd_per_request": None if each is None else pusd_to_usd(each),
            "usd_per_1k_tokens": None if thousand is None else pusd_to_usd(thousand),
        }

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def share_of(self, total: "SpendingRow") -> Decimal | None:
        """Return its part of the cost of all, from 0 to 1; None where nothing was spent."""
        return _ratio(self.cost_pusd, total.cost_pusd)

    @property
    def each_pusd(self) -> int | None:
        """Return what a request cost on average, rounded to a pico-USD."""
        return None if not self.requests else round(Decimal(self.cost_pusd) / self.requests)

    @property
    def per_1k_tokens_pusd(self) -> int | None:
        """Return what a thousand tokens cost on average, rounded to a pico-USD."""
        return None if not self.tokens else round(Decimal(self.cost_pusd) * 1000 / self.tokens)

    @property
    def cached_share(self) -> Decimal | None:
        """Return which part of the input came from a cache, from 0 to 1; None without input."""
        return _ratio(self.cached_tokens, self.input_tokens)


def _ratio(part: int, whole: int) -> Decimal | None:
    return None if whole <= 0 else (Decimal(part) / whole).quantize(Decimal("0.000001"))


MEASURES: Final[Mapping[str, Callable[[SpendingRow], int]]] = {
    "cost": lambda row: row.cost_pusd,
    "requests": lambda row: row.requests,
    "errors": lambda row: row.errors,
    "tokens": lambda row: row.tokens,
}
"""What rows can be sorted by, beside their names."""


class SpendingSums(NamedTuple):
    """Sums by key, and that of all: less than the sum of the rows where a request counts in several, as by tag."""

    rows: list[SpendingRow]
    total: SpendingRow

    def top(self, count: int | None, measure: str = "cost") -> "tuple[list[SpendingRow], SpendingRow | None]":
        """Return the rows with the most in the order in which they are, and the sum of all others, None without any."""
        if count is None or len(self.rows) <= count:
            return self.rows, None
        most = {row.key for row in self.sorted_by(measure).rows[:count]}
        kept = [row for row in self.rows if row.key in most]
        return kept, SpendingRow.total([row for row in self.rows if row.key not in most], "other")

    def sorted_by(self, measure: str) -> "SpendingSums":
        """Return the rows with the most of one of MEASURES first; by name in the order of keys, hours as time goes."""
        if measure == "name":
            return self._replace(rows=sorted(self.rows, key=lambda row: (*map(label_order, row.key), *row.key)))
        figure = MEASURES[measure]
        return self._replace(rows=sorted(self.rows, key=lambda row: (-figure(row), row.key)))


def _text(share: Decimal | None) -> str | None:
    return None if share is None else plain_text(share)


class UnsettledSum(Struct, frozen=True):
    """Requests of a range whose cost is not final, or not exact (flagged: it is in the sums, with a flag)."""

    open: int
    pending: int
    flagged: int


class LateSum(Struct, frozen=True):
    """Costs that became known late, of one reason and source: what they moved the sums by. local: as cost_local."""

    reason: str
    source: str
    number: int
    pusd: int
    local: Decimal | None


class PeriodSpending(Struct, frozen=True):
    """All that was spent in a time: by the words that were asked for, and by day; late costs are in both.

    tables: by the words of further tables, in order.
    """

    sums: SpendingSums
    days: SpendingSums
    late: list[LateSum]
    rest: UnsettledSum
    tables: Sequence[SpendingSums] = ()
