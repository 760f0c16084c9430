"""How requests were answered: what the roll-up counts of each, and how it keeps the histograms.

Three histograms (core/histogram.py) are one value, counts: the time of an answer and that to the first token of a
streamed one in milliseconds, and its speed in hundredths of a token a second, from its first token on. Each bucket of
each is a place. A value holds a byte for each time that a place was counted, so that two are added by writing one
behind the other; one that has grown long begins with sums: 255, the length of what follows in two bytes, and pairs of a
place and a number (LEB128).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from proxy.core.histogram import BUCKETS, SMALL, bucket_of, percentile

FIRST_TOKEN: Final = BUCKETS  # the place of its first bucket
SPEED: Final = 2 * BUCKETS
PLACES: Final = 3 * BUCKETS

GONE: Final = 499
"""The status of a client that hung up: neither an answer nor a failure."""

SHORT_BYTES: Final = 512
"""Values that are shorter together are added as they are."""

_TAIL_BYTES: Final = 256  # behind the sums of a longer one
_SUMMED: Final = 255
_AT_ONCE: Final = 1 << 12  # bytes that are counted by one call, during which no other thread runs: a tenth of a ms
_SMALL: Final = len(SMALL)
_MORE: Final = 0x80  # of a byte of LEB128: another one follows


class AnswerSums(NamedTuple):
    """What is summed of how requests were answered: columns of usage_hourly.

    cancelled: the client hung up. fallbacks: answers in the place of another target. latency_ms: that answers took.
    first_tokens: streamed answers with a first token, which came after first_token_ms together.
    """

    answered: int = 0
    cancelled: int = 0
    fallbacks: int = 0
    latency_ms: int = 0
    first_tokens: int = 0
    first_token_ms: int = 0


AnswerFacts = tuple[int | None, str | None, int, int | None, int | None, int | None, int]
"""Of a request that has ended: status, error, streamed, ttft_ms, duration_ms, output_tokens, and 1 where another target
than the first one was asked last."""


def sum_answers(requests: Iterable[AnswerFacts]) -> tuple[int, int, int, int, int, int, bytes]:
    """Return what requests add to a row of the roll-up: AnswerSums and the counts."""
    answered = cancelled = fallbacks = latency_ms = first_tokens = first_ms = 0
    places = []
    for status, error, streamed, ttft_ms, duration_ms, output_tokens, fell_back in requests:
        if status == GONE:
            cancelled += 1
        elif error is None and duration_ms is not None and duration_ms >= 0:
            answered += 1
            fallbacks += fell_back
            latency_ms += duration_ms
            places.append(SMALL[duration_ms] if duration_ms < _SMALL else bucket_of(duration_ms))
            written_ms = duration_ms
            if streamed and ttft_ms is not None:
                first_tokens += 1
                first_ms += ttft_ms
                places.append(FIRST_TOKEN + bucket_of(ttft_ms))
                written_ms -= ttft_ms
            if output_tokens is not None and output_tokens > 0 < written_ms:
                speed = output_tokens * 100_000 // written_ms
                places.append(SPEED + (SMALL[speed] if speed < _SMALL else bucket_of(speed)))
    counts = bytes(places)
    if len(counts) >= SHORT_BYTES:
        counts = add_counts(b"", counts)
    return answered, cancelled, fallbacks, latency_ms, first_tokens, first_ms, counts


def add_counts(counts: bytes, more: bytes) -> bytes:
    """Return two values as one."""
    if more[:1] != b"\xff" and _tail_bytes(counts) + len(more) < _TAIL_BYTES:
        return counts + more
    total = read_counts(counts)
    total.update(read_counts(more))
    return write_counts(total)


def _tail_bytes(counts: bytes) -> int:
    if counts[:1] != b"\xff":
        return len(counts)
    return len(counts) - 3 - int.from_bytes(counts[1:3], "little")


def read_counts(counts: bytes) -> Counter[int]:
    """Return how often each place was counted."""
    if counts[:1] != b"\xff":
        return Counter(counts)
    end = 3 + int.from_bytes(counts[1:3], "little")
    total = Counter(counts[end:])
    at = 3
    while at < end:
        place, at = counts[at], at + 1
        number = shift = 0
        while True:
            byte, at = counts[at], at + 1
            number |= (byte & ~_MORE) << shift
            shift += 7
            if byte < _MORE:
                break
        total[place] += number
    return total


def write_counts(total: Mapping[int, int]) -> bytes:
    """Return a value with sums alone; b"" for nothing."""
    pairs = bytearray()
    for place, number in sorted(total.items()):
        left = number
        pairs.append(place)
        while left >= _MORE:
            pairs.append(left & ~_MORE & 0xFF | _MORE)
            left >>= 7
        pairs.append(left)
    return bytes((_SUMMED, *len(pairs).to_bytes(2, "little"), *pairs)) if pairs else b""


class Histograms(NamedTuple):
    """Counts by bucket: the time of an answer, that to its first token, and its speed."""

    latency: Sequence[int]
    first_token: Sequence[int]
    speed: Sequence[int]

    @classmethod
    def of_counts(cls, many: Iterable[bytes]) -> "Histograms":
        """Return values of counts added up."""
        short, total = [], Counter[int]()
        for counts in many:
            if counts[:1] == b"\xff":
                total.update(read_counts(counts))
            else:
                short.append(counts)
        joined = b"".join(short)
        for at in range(0, len(joined), _AT_ONCE):
            total.update(joined[at : at + _AT_ONCE])
        found = [total[place] for place in range(PLACES)]
        return cls(found[:FIRST_TOKEN], found[FIRST_TOKEN:SPEED], found[SPEED:])


class PerformanceFilter(Struct, frozen=True):
    """Which requests, by the UTC hours in which they began; None: all.

    since_ms is in the first hour, until_ms ends the last one. model: a pattern (* and ?) of a model or provider/model.
    by: what is summed together; names that this leaves out are empty.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    model: str | None = None
    by: Literal["model", "provider", "all"] = "model"

    def names(self, provider: str, model: str) -> tuple[str, str]:
        """Return under which provider and model an answer is summed."""
        return ("" if self.by == "all" else provider), (model if self.by == "model" else "")


class ModelPerformance(Struct, frozen=True):
    """How a model of a provider answered. cost_pusd: of all of its requests, with late corrections."""

    provider: str
    model: str
    requests: int
    output_tokens: int
    cost_pusd: int
    sums: AnswerSums
    histograms: Histograms

    @property
    def errors(self) -> int:
        """Return how many were not answered, though the client waited."""
        return self.requests - self.sums.answered - self.sums.cancelled

    @property
    def success_share(self) -> float | None:
        """Return the share that was answered of those that the client waited for."""
        waited = self.requests - self.sums.cancelled
        return self.sums.answered / waited if waited else None

    @property
    def fallback_share(self) -> float | None:
        """Return the share of its answers that it gave in the place of another target."""
        return self.sums.fallbacks / self.sums.answered if self.sums.answered else None

    @property
    def cost_a_request_pusd(self) -> int | None:
        """Return the mean cost of a request, rounded up."""
        return -(-self.cost_pusd // self.requests) if self.requests else None

    def latency_ms(self, share: float) -> float | None:
        """Return a percentile of the time of an answer."""
        return percentile(self.histograms.latency, share)

    def first_token_ms(self, share: float) -> float | None:
        """Return a percentile of the time to the first token of streamed answers."""
        return percentile(self.histograms.first_token, share)

    def tokens_a_second(self, share: float) -> float | None:
        """Return a percentile of the speed of answers."""
        hundredths = percentile(self.histograms.speed, share)
        return None if hundredths is None else hundredths / 100
