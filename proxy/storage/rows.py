"""The rows that a request leaves, as values handed to the ledger.

Named tuples where a request makes one: they are built in a tenth of the time of a frozen dataclass, and are the row.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from operator import add, itemgetter
from typing import Any, NamedTuple, TypeVar

from proxy.core.counts import Counts
from proxy.core.limit_kinds import NO_PIECES, counted_pieces
from proxy.core.text import fit_text
from proxy.policy.idempotency import EarlierRequest
from proxy.policy.quota import NOT_KNOWN, ModelAnswer, joined
from proxy.storage.performance import AnswerFacts, sum_answers

ID_PREFIX = "req_"
_COUNTER_BITS = 21  # two million requests in one millisecond; 42 bits of milliseconds last until the year 2109

HOUR_MS = 3_600_000
INTEGER_MAX = 2**63 - 1  # of SQLite
CLAMPED = "value_clamped"  # the flag of a row of which a number was larger
DOUBTLESS = "downgraded"  # flags of a row whose figures are exact all the same


class RequestIds:
    """Integers that grow with time, across restarts and clocks that step back."""

    def __init__(self, last_id: int) -> None:
        self._last = last_id

    @property
    def newest(self) -> int:
        """Return the last one that was given."""
        return self._last

    def next(self, now_ms: int) -> int:
        id_ = now_ms << _COUNTER_BITS
        if id_ <= self._last:  # in the same millisecond, or the clock stepped back
            id_ = self._last + 1
        self._last = id_
        return id_


def id_floor(ms: int) -> int:
    """Return the smallest id that a request begun at ms can have; the last of all for a time that has none."""
    return min(max(0, ms << _COUNTER_BITS), INTEGER_MAX)  # people ask for any time, and SQLite takes no larger number


def ms_of(id_: int) -> int:
    """Return when the request of an id began, in ms, or just before that: see RequestIds."""
    return id_ >> _COUNTER_BITS


# an id as users see it: req_ and 16 hex digits. By "%" it takes a quarter of the time of str.format
id_text: Callable[[int], str] = f"{ID_PREFIX}%016x".__mod__


def id_number(text: str) -> int | None:
    """Read an id as users see it; None if it is none."""
    digits = text.removeprefix(ID_PREFIX)
    if digits == text or len(digits) != 16:
        return None
    try:
        return int(digits, 16)
    except ValueError:
        return None


class OpenRow(NamedTuple):
    """A request before its first byte goes upstream. reserved_pusd None: some target has no known price.

    The fields up to key_id are the columns of statements.OPEN in order; streamed is 0 or 1. pieces: what an attempt
    asks for of the kinds of core/limit_kinds.py, PIECES.
    """

    id: int
    started_ms: int
    day: str
    user: str
    group_name: str | None
    token_id: str
    endpoint: str
    requested_model: str
    use_case: str | None
    session_id: str | None
    tags: str | None
    reserved_pusd: int | None
    reserved_tokens: int | None
    streamed: int
    target_provider: str  # of the first attempt, as key and target_model
    key: str
    target_model: str
    groups_above: str | None = None  # those above group_name, the nearest first, with spaces between them
    key_id: int | None = None  # of the first attempt's key, as in KeyHash
    pieces: tuple[int, ...] = NO_PIECES


class AttemptRow(NamedTuple):
    """Another upstream call before its first byte, n from 2; key is a label, never the key itself.

    The fields are the columns of statements.ATTEMPT in order.
    """

    request_id: int
    n: int
    started_ms: int
    provider: str
    key: str
    model: str
    key_id: int | None = None  # as in KeyHash


class KeyHash(NamedTuple):
    """A key of a provider as rows remember it: by id, which is the first bytes of the hash (SHA-256 in hex)."""

    id: int
    hash: str
    provider: str
    name: str


class BilledEndpoint(NamedTuple):
    """How the provider names, in its bill, the endpoint and the model that answered; None: it did not say."""

    endpoint_id: str | None
    permaslug: str | None


class AttemptEnd(NamedTuple):
    """How one upstream call of several ended; outcome is a word of docs/concepts/ledger.md.

    The fields up to upstream_cost_pusd are the columns of statements.ATTEMPT_END in order. cost_pusd None: the figure
    is awaited, or cannot be found. reserved_pusd and reserved_tokens: its share of the request's reservation; None for
    the last one, which has the rest, and where none is known. is_byok: an own key was used behind the provider;
    upstream_cost_pusd: what that one charges, which is in the cost where is_byok. None: nobody told.
    """

    request_id: int
    n: int
    outcome: str
    status: int | None
    served_model: str | None
    served_by: str | None
    generation_id: str | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost_pusd: int | None
    cost_source: str
    ttft_ms: int | None
    duration_ms: int | None
    reserved_pusd: int | None = None
    reserved_tokens: int | None = None
    is_byok: int | None = None
    upstream_cost_pusd: int | None = None
    counts: Counts | None = None
    billed: BilledEndpoint | None = None


class Reserved(NamedTuple):
    """What a request holds in all; None: there is no price, or no limit that counts tokens."""

    cost_pusd: int | None
    tokens: int | None

    def without(self, cost_pusd: int | None, tokens: int | None) -> "Reserved":
        """Return this without the share of an attempt."""
        return Reserved(
            None if self.cost_pusd is None else self.cost_pusd - (cost_pusd or 0),
            None if self.tokens is None else self.tokens - (tokens or 0),
        )


class NewAttempt(NamedTuple):
    """Another attempt, the end of the one before it, and the request's reservation if it grows."""

    attempt: AttemptRow
    before: AttemptEnd
    reserved: Reserved | None = None


class GenerationNote(NamedTuple):
    """The generation id of an attempt under way, once it is known."""

    request_id: int
    n: int
    generation_id: str


class RequestEnd(NamedTuple):
    """The end of a request. state is pending, settled or released; cost_pusd None: it cannot be found.

    The fields from id to other_models are the columns of statements.END in order, the others say where the roll-up
    counts it: first what differs from request to request, then from finish_reason on what a user's next request has in
    common with it, as a rule. other_models: what besides provider and model may have been paid for, provider/model on
    a line each. is_byok: of some attempt; upstream_cost_pusd: of all of them. billed: of the last one.
    attempt_ends: of several attempts the last, and those whose figures came late; a single one is told by outcome,
    upstream_status and served_by.
    """

    started_ms: int
    id: int
    finished_ms: int
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost_pusd: int | None
    ttft_ms: int | None
    duration_ms: int | None
    generation_id: str | None
    upstream_cost_pusd: int | None
    finish_reason: str | None
    model: str | None
    provider: str | None
    served_by: str | None
    is_byok: int | None
    status: int
    upstream_status: int | None
    cost_source: str
    state: str
    attempts: int
    error: str | None
    flags: str | None
    outcome: str
    other_models: str | None
    user: str
    group_name: str | None
    use_case: str | None
    streamed: int
    fell_back: int  # 1: another target than the first one was asked last
    uncounted_tokens: int  # what was reserved, where nobody counted the tokens of a charged attempt
    attempt_ends: tuple[AttemptEnd, ...]
    counts: Counts | None = None  # None: none was reported
    uncounted_pieces: tuple[int, ...] = NO_PIECES  # what was taken beyond what counts say
    groups_above: str | None = None
    billed: BilledEndpoint | None = None

    @property
    def quota_tokens(self) -> int:
        """Return the tokens that token limits count."""
        return (self.input_tokens or 0) + (self.output_tokens or 0) + self.uncounted_tokens

    @property
    def pieces(self) -> tuple[int, ...]:
        """Return what limits count of what few requests take."""
        return tuple(map(add, counted_pieces(self.counts), self.uncounted_pieces))

    @property
    def answer(self) -> ModelAnswer:
        """Return what decides in which sets of models it counts."""
        return ModelAnswer(self.provider or "", self.model or "", self.other_models or "")


class KeyHashes(NamedTuple):
    """key: over user and key; body: over endpoint and body, keyed with what is stored nowhere."""

    key: bytes
    body: bytes


class StoredKey(NamedTuple):
    """What is known of an Idempotency-Key that came before: the hash of its body, and what its request came to."""

    body_hash: bytes
    earlier: EarlierRequest


def of_end(*names: str) -> Callable[[RequestEnd], Any]:
    """Read fields by their places, which takes a tenth of the time that their names take."""
    return itemgetter(*map(RequestEnd._fields.index, names))


opened_id, ended_id = itemgetter(OpenRow._fields.index("id")), of_end("id")
END_COLUMNS = slice(RequestEnd._fields.index("id"), RequestEnd._fields.index("other_models") + 1)
USUAL_FROM = RequestEnd._fields.index("finish_reason")  # the first of what many ends have in common
kind_of = of_end("state", "attempt_ends", "counts", "uncounted_pieces", "flags", "billed")
pieces_of = itemgetter(OpenRow._fields.index("pieces"))
_STARTED_MS = of_end("started_ms")
_NAMES = of_end("user", "group_name", "model", "provider", "use_case", "groups_above", "other_models")
_Amounts = tuple[str | None, int | None, int | None, int | None, int | None, int, int | None]
_AMOUNTS: Callable[[RequestEnd], _Amounts] = of_end(
    "error",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "uncounted_tokens",
    "cost_pusd",
)
answer_of: Callable[[RequestEnd], AnswerFacts] = of_end(
    *("status", "error", "streamed", "ttft_ms", "duration_ms", "output_tokens", "fell_back")
)


def hourly_rows(ends: Sequence[RequestEnd]) -> list[tuple[object, ...]]:
    """Return ends added up for each row of the roll-up, with the columns of statements.HOURLY."""
    by_row: defaultdict[tuple[int, tuple[str | None, ...]], list[RequestEnd]] = defaultdict(list)
    for end in ends:
        by_row[_STARTED_MS(end) // HOUR_MS, _NAMES(end)].append(end)
    return [_hourly_row(hour, names, those) for (hour, names), those in by_row.items()]


def hourly_row(end: RequestEnd) -> tuple[Any, ...]:
    """Return what one end adds to the roll-up, as hourly_rows() does."""
    return _hourly_row(_STARTED_MS(end) // HOUR_MS, _NAMES(end), (end,))


def _hourly_row(hour: int, names: tuple[str | None, ...], those: Sequence[RequestEnd]) -> tuple[Any, ...]:
    user, group, model, provider, use_case, above, others = names
    return (
        hour * HOUR_MS,
        user,
        group or "",
        model or "",
        provider or "",
        use_case or "",
        above or "",
        others or "",
        len(those),
        *_sums(map(_AMOUNTS, those)),
        *sum_answers(map(answer_of, those)),
    )


def _sums(amounts: Iterable[_Amounts]) -> tuple[int, ...]:
    """Return the sums of a row of the roll-up: local variables, for elements of a list take three times as long."""
    errors = sent = got = cached = reasoning = uncounted = cost_pusd = 0
    for error, sent_1, got_1, cached_1, reasoning_1, uncounted_1, cost_1 in amounts:
        if error is not None:
            errors += 1
        sent += sent_1 or 0
        got += got_1 or 0
        cached += cached_1 or 0
        reasoning += reasoning_1 or 0
        uncounted += uncounted_1
        cost_pusd += cost_1 or 0
    return errors, sent, got, cached, reasoning, uncounted, cost_pusd


T = TypeVar("T", bound=tuple[Any, ...])


def storable(row: T) -> T:
    """Return a row, and the rows within it, as SQLite can hold them: texts that are UTF-8, integers of 64 bits.

    The end of a request is flagged where a number had to be made smaller. For what must be written whatever it says:
    what it cannot hold was cleaned or refused long before, or should have been.
    """
    found: T = tuple.__new__(type(row), map(_storable_value, row))
    if isinstance(row, RequestEnd) and isinstance(found, RequestEnd):
        ends = tuple(map(storable, row.attempt_ends))
        if any(was != now for was, now in zip(row, found, strict=True) if type(was) is int):
            flags = " ".join(sorted({CLAMPED, *(found.flags or "").split()}))
            return found._replace(flags=flags, attempt_ends=ends)
        return found._replace(attempt_ends=ends)
    return found


def _storable_value(value: Any) -> Any:
    if isinstance(value, str):
        return fit_text(value, len(value))
    if isinstance(value, int):
        return max(-INTEGER_MAX, min(value, INTEGER_MAX))
    if isinstance(value, AttemptRow | AttemptEnd | Reserved | BilledEndpoint):
        return storable(value)
    return value


class RowState(NamedTuple):
    """How far one request of the ledger is; tokens and pieces: what limits count."""

    state: str
    cost_pusd: int | None
    tokens: int
    pieces: tuple[int, ...] = NO_PIECES
    answer: ModelAnswer = NOT_KNOWN


def hourly_counts(ends: Sequence[RequestEnd]) -> list[tuple[object, ...]]:
    """Return the rarer counts added up for each row of the roll-up, with the columns of statements.HOURLY_COUNTS."""
    by_row: dict[tuple[object, ...], Counts] = {}
    for end in ends:
        if end.counts is not None:
            row = (end.started_ms // HOUR_MS * HOUR_MS, *[name or "" for name in _NAMES(end)])
            known = by_row.get(row)
            by_row[row] = end.counts if known is None else known.plus(end.counts)
    return [(*row, *counts) for row, counts in by_row.items()]


def hourly_pieces(ends: Sequence[RequestEnd]) -> list[tuple[object, ...]]:
    """Add what nobody counted up by the row of the roll-up, with the columns of statements.HOURLY_PIECES."""
    by_row: dict[tuple[object, ...], tuple[int, ...]] = {}
    for end in ends:
        row = (end.started_ms // HOUR_MS * HOUR_MS, *[name or "" for name in _NAMES(end)])
        by_row[row] = tuple(map(add, by_row.get(row, NO_PIECES), end.uncounted_pieces))
    return [(*row, *pieces) for row, pieces in by_row.items()]


def hourly_flagged(ends: Sequence[RequestEnd]) -> list[tuple[object, ...]]:
    """Count flagged ends for each row of the roll-up, with the columns of statements.HOURLY_FLAGGED."""
    by_row = Counter((end.started_ms // HOUR_MS * HOUR_MS, *[name or "" for name in _NAMES(end)]) for end in ends)
    return [(*row, count) for row, count in by_row.items()]


class UnfinishedAttempt(NamedTuple):
    """One attempt of a request that is not settled. Its fields are those of statements.ATTEMPTS in order.

    outcome ``open``: it was under way when the proxy went down. key: the name of the key it was sent with.
    reserved_pusd and reserved_tokens as in AttemptEnd.
    """

    n: int
    provider: str
    key: str | None
    model: str
    served_model: str | None
    served_by: str | None
    generation_id: str | None
    status: int | None
    outcome: str
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost_pusd: int | None
    cost_source: str
    ttft_ms: int | None
    duration_ms: int | None
    reserved_pusd: int | None
    reserved_tokens: int | None
    is_byok: int | None
    upstream_cost_pusd: int | None
    counts: Counts | None = None
    billed: BilledEndpoint | None = None

    @classmethod
    def of_row(cls, row: tuple[Any, ...]) -> "UnfinishedAttempt":
        """Return the attempt of a row of statements.ATTEMPTS, which ends with Counts and BilledEndpoint."""
        size, billed_size = len(Counts._fields), len(BilledEndpoint._fields)
        counts, billed = row[-size - billed_size : -billed_size], row[-billed_size:]
        return cls._make(
            (
                *row[: -size - billed_size],
                None if counts[0] is None else Counts(*counts),
                None if billed == (None, None) else BilledEndpoint(*billed),
            )
        )


class UnfinishedRequest(NamedTuple):
    """A request that is open or pending; the fields up to streamed are those of statements.UNFINISHED in order."""

    id: int
    state: str
    started_ms: int
    user: str
    group_name: str | None
    use_case: str | None
    requested_model: str
    reserved_pusd: int | None
    reserved_tokens: int | None
    finished_ms: int | None
    status: int | None
    model: str | None
    finish_reason: str | None
    ttft_ms: int | None
    duration_ms: int | None
    error: str | None
    flags: str | None
    groups_above: str | None
    streamed: int
    attempts: tuple[UnfinishedAttempt, ...]
    pieces: tuple[int, ...] = NO_PIECES  # that an attempt asks for

    @classmethod
    def of_row(cls, row: tuple[Any, ...], attempts: tuple[UnfinishedAttempt, ...]) -> "UnfinishedRequest":
        """Return the request of a row of statements.UNFINISHED, which ends with the columns of PIECES."""
        size = len(NO_PIECES)
        return cls._make((*row[:-size], attempts, tuple(amount or 0 for amount in row[-size:])))

    def shares(self) -> list[Reserved]:
        """Return each attempt's share of the reservation; the last one has the rest."""
        left = Reserved(self.reserved_pusd, self.reserved_tokens)
        shares = [Reserved(attempt.reserved_pusd, attempt.reserved_tokens) for attempt in self.attempts[:-1]]
        for share in shares:
            left = left.without(*share)
        return [*shares, left]

    @property
    def held_pusd(self) -> int:
        """Return what limits count: the reservation, and what attempts are known to have cost above their shares."""
        excess = (
            (attempt.cost_pusd or 0) - (share.cost_pusd or 0)
            for attempt, share in zip(self.attempts, self.shares(), strict=False)
        )
        return (self.reserved_pusd or 0) + sum(pusd for pusd in excess if pusd > 0)

    @property
    def answer(self) -> ModelAnswer:
        """Return what may be paid for: the target of each attempt, and what is known to have answered the last."""
        if not self.attempts:
            return NOT_KNOWN
        last = self.attempts[-1]
        model = self.model or last.served_model or last.model
        return ModelAnswer(last.provider, model, joined(f"{one.provider}/{one.model}" for one in self.attempts))

    @property
    def held_pieces(self) -> tuple[int, ...]:
        """Return what limits count for it of what few requests take: as much for each attempt that may be billed."""
        released = sum(attempt.cost_pusd == 0 and attempt.cost_source == "none" for attempt in self.attempts)
        billed = max(1, len(self.attempts) - released)
        return tuple(billed * amount for amount in self.pieces)
