"""What one scope (a user, a group, all) has used, by time: the totals that limits are held against.

Totals do not depend on which limits are configured, so that changing a limit never changes what was spent and
a new limit sees past spending. Amounts are triples in the order of KINDS.
"""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from proxy.policy.window import HOUR_MS, MINUTE_MS, Window, window_at

COST, TOKENS, REQUESTS = 0, 1, 2
KINDS = {"cost": COST, "tokens": TOKENS, "requests": REQUESTS}
_QUARTER_MS = 15 * MINUTE_MS  # every zone has been off UTC by whole quarters of an hour since 1986
FINE_HOURS = 48  # minutes are kept this long; then they are folded into hours
_FOREVER_MS = 1 << 62


@dataclass(slots=True, eq=False)
class Reservation:
    """What one open request holds; it counts in the window of started_ms, whenever it ends."""

    request_id: object
    accounts: tuple["Account", ...]
    started_ms: int
    cost_pusd: int
    tokens: int
    requests: int
    running: bool


class Span:
    """One window of an account with its sums, kept up to date; reserved holds what is open."""

    __slots__ = ("end_ms", "from_ms", "reserved", "settled", "start_ms", "until_ms")

    def __init__(self, window: Window) -> None:
        self.start_ms = window.start_ms
        self.end_ms = _FOREVER_MS if window.end_ms is None else window.end_ms
        self.until_ms = _FOREVER_MS if window.until_ms is None else window.until_ms
        # The instants it serves: a rolling one those of the hour before it moves, the others all that they
        # count.
        is_rolling = window.end_ms is None and window.until_ms is not None
        self.from_ms = self.until_ms - HOUR_MS if is_rolling else window.start_ms
        self.settled = [0, 0, 0]
        self.reserved = [0, 0, 0]


class Account:
    """The totals of one scope: past amounts in buckets, open reservations, and spans over both."""

    __slots__ = (
        "_before",
        "_before_ms",
        "_bucket",
        "_bucket_ms",
        "_fold_ms",
        "_hours",
        "_minutes",
        "_quarters",
        "open",
        "running",
        "scope",
        "spans",
    )

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.open: dict[object, Reservation] = {}
        self.running = 0
        self.spans: dict[str, Span] = {}
        self._minutes: dict[int, list[int]] = {}
        self._quarters: dict[int, list[int]] = {}  # of hours in which a day of the zone begins
        self._hours: dict[int, list[int]] = {}
        self._before = [0, 0, 0]  # older than the horizon: only the total still counts it
        self._before_ms = 0  # the end of what _before holds
        self._fold_ms = 0
        self._bucket: list[int] = []  # the one that was added to last, a minute of _minutes
        self._bucket_ms = -1

    def span(self, window: str, zone: ZoneInfo, now_ms: int) -> Span:
        """Return the span of the window that now_ms lies in, computed anew when the window has changed."""
        span = self.spans.get(window)
        if span is None or now_ms >= span.until_ms or now_ms < span.from_ms:
            span = self.spans[window] = self.summed(window_at(window, zone, now_ms))
        return span

    def summed(self, window: Window) -> Span:
        """Sum a window from the buckets and the open reservations.

        A bucket that the start of the window cuts counts in full, and so does what was folded away later than
        that start: on the limit's side. Both happen only when the clock went back by days.
        """
        span = Span(window)
        start, end = span.start_ms, span.end_ms
        if start < self._before_ms:
            span.settled[:] = self._before
        for buckets, size_ms in (
            (self._minutes, MINUTE_MS),
            (self._quarters, _QUARTER_MS),
            (self._hours, HOUR_MS),
        ):
            for at_ms, amounts in buckets.items():
                if at_ms + size_ms > start and at_ms < end:
                    _add(span.settled, *amounts)
        for held in self.open.values():
            if start <= held.started_ms < end:
                _add(span.reserved, held.cost_pusd, held.tokens, held.requests)
        return span

    def reserve(self, held: Reservation) -> None:
        self.open[held.request_id] = held
        self.running += held.running
        if self.spans:
            self.hold(held.started_ms, held.cost_pusd, held.tokens, held.requests)

    def hold(self, started_ms: int, cost_pusd: int, tokens: int, requests: int) -> None:
        """Add to what is reserved (or take from it) in every span that the instant lies in."""
        for span in self.spans.values():
            if span.start_ms <= started_ms < span.end_ms:
                reserved = span.reserved
                reserved[0] += cost_pusd
                reserved[1] += tokens
                reserved[2] += requests

    def end(self, held: Reservation, cost_pusd: int, tokens: int, requests: int, zone: ZoneInfo) -> None:
        """Replace a reservation by its cost, in the windows of its start."""
        del self.open[held.request_id]
        self.running -= held.running
        started_ms = held.started_ms
        for span in self.spans.values():
            if span.start_ms <= started_ms < span.end_ms:
                reserved, settled = span.reserved, span.settled
                reserved[0] -= held.cost_pusd
                reserved[1] -= held.tokens
                reserved[2] -= held.requests
                settled[0] += cost_pusd
                settled[1] += tokens
                settled[2] += requests
        self._store(started_ms, cost_pusd, tokens, requests, zone)

    def settle(self, at_ms: int, cost_pusd: int, tokens: int, requests: int, zone: ZoneInfo) -> None:
        """Add settled amounts (negative ones correct) at an instant, without any reservation."""
        for span in self.spans.values():
            if span.start_ms <= at_ms < span.end_ms:
                _add(span.settled, cost_pusd, tokens, requests)
        self._store(at_ms, cost_pusd, tokens, requests, zone)

    def settle_hour(self, hour_ms: int, cost_pusd: int, tokens: int, requests: int) -> None:
        """Add a whole hour of a roll-up."""
        self.spans.clear()
        _add(self._hours.setdefault(hour_ms - hour_ms % HOUR_MS, [0, 0, 0]), cost_pusd, tokens, requests)

    def _store(self, at_ms: int, cost_pusd: int, tokens: int, requests: int, zone: ZoneInfo) -> None:
        minute_ms = at_ms - at_ms % MINUTE_MS
        amounts = self._bucket if minute_ms == self._bucket_ms else self._bucket_at(at_ms, minute_ms, zone)
        amounts[0] += cost_pusd
        amounts[1] += tokens
        amounts[2] += requests

    def _bucket_at(self, at_ms: int, minute_ms: int, zone: ZoneInfo) -> list[int]:
        if at_ms < self._fold_ms:
            buckets, key = self._folded(at_ms, zone)
            return buckets.setdefault(key, [0, 0, 0])
        self._bucket_ms = minute_ms
        self._bucket = self._minutes.setdefault(minute_ms, [0, 0, 0])
        return self._bucket

    def _folded(self, at_ms: int, zone: ZoneInfo) -> tuple[dict[int, list[int]], int]:
        hour_ms = at_ms - at_ms % HOUR_MS
        if holds_a_day_edge(hour_ms, zone):
            return self._quarters, at_ms - at_ms % _QUARTER_MS
        return self._hours, hour_ms

    def fold(self, now_ms: int, zone: ZoneInfo, horizon_ms: int) -> None:
        """Fold minutes older than FINE_HOURS into hours, what is older than the horizon into the total."""
        before_ms = now_ms - now_ms % HOUR_MS - FINE_HOURS * HOUR_MS
        if before_ms <= self._fold_ms:
            return
        self._fold_ms = before_ms
        self._bucket_ms = -1
        for at_ms in [at_ms for at_ms in self._minutes if at_ms < before_ms]:
            buckets, key = self._folded(at_ms, zone)
            _add(buckets.setdefault(key, [0, 0, 0]), *self._minutes.pop(at_ms))
        for buckets in (self._quarters, self._hours):
            for at_ms in [at_ms for at_ms in buckets if at_ms < now_ms - horizon_ms]:
                _add(self._before, *buckets.pop(at_ms))
                self._before_ms = max(self._before_ms, at_ms + HOUR_MS)

    def oldest_hour_ms(self, span: Span) -> int | None:
        """Return the first hour of a rolling span in which anything was used or is held."""
        used = [
            at_ms
            for buckets in (self._minutes, self._quarters, self._hours)
            for at_ms, amounts in buckets.items()
            if at_ms >= span.start_ms and any(amounts)
        ]
        used += [held.started_ms for held in self.open.values() if held.started_ms >= span.start_ms]
        first = min(used, default=None)
        return None if first is None else first - first % HOUR_MS

    @property
    def folded_ms(self) -> int:
        """Return the time before which minutes are no longer kept apart."""
        return self._fold_ms


def holds_a_day_edge(hour_ms: int, zone: ZoneInfo) -> bool:
    """Return whether a day of the zone begins inside this UTC hour, which no roll-up can split."""
    return hour_ms < window_at("day", zone, hour_ms + HOUR_MS - 1).start_ms < hour_ms + HOUR_MS


def _add(total: list[int], cost_pusd: int, tokens: int, requests: int) -> None:
    total[0] += cost_pusd
    total[1] += tokens
    total[2] += requests
