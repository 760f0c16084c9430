"""What one scope (a user, a group, all) has used, by time: the totals that limits are held against.

Totals do not depend on which limits are configured, so that changing a limit never changes what was spent and
a new limit sees past spending. Sums are lists in the order of core/limit_kinds.py, COUNTED. What every request takes is
added to them one by one, which costs half of a loop; what few take is added by a loop, where there is any.
"""

from collections.abc import Hashable, Iterable, Sequence
from operator import add, sub
from zoneinfo import ZoneInfo

from msgspec import Struct

from proxy.core.limit_kinds import COST, NO_PIECES, NOTHING, REQUESTS, TOKENS, Taken
from proxy.policy.quota.model_set import models_of
from proxy.policy.quota.window import HOUR_MS, MINUTE_MS, Window, window_at

_QUARTER_MS = 15 * MINUTE_MS  # every zone has been off UTC by whole quarters of an hour since 1986
FINE_HOURS = 48  # minutes are kept this long; then they are folded into hours
FOREVER_MS = 1 << 62
NOTHING_TAKEN: Taken = (0, 0, 0, NO_PIECES)


class Hold(Struct, eq=False):
    """What one open request holds in its scopes; it counts in the window of started_ms, whenever it ends."""

    request_id: Hashable
    scopes: "RequestScopes"
    started_ms: int
    amounts: Taken
    running: bool

    @property
    def cost_pusd(self) -> int:
        return self.amounts[0]

    @property
    def tokens(self) -> int:
        return self.amounts[1]


class WindowTotals:
    """One window of a scope. Its sums are those of the scope without what is outside of it: few requests change that.

    settled_outside, taken_outside: the part of the scope's settled and taken that does not count in it.
    """

    __slots__ = (
        "_late",
        "_settled",
        "_taken",
        "end_ms",
        "from_ms",
        "settled_outside",
        "start_ms",
        "taken_outside",
        "until_ms",
    )

    def __init__(self, window: Window, settled: list[int], taken: list[int], late: "LateSums | None") -> None:
        """Begin with nothing in it; settled, taken: those of the scope, which change. late: what settled lacks."""
        self._late = late
        self.start_ms = window.start_ms
        self.end_ms = FOREVER_MS if window.end_ms is None else window.end_ms
        self.until_ms = FOREVER_MS if window.until_ms is None else window.until_ms
        # The instants it serves: a rolling one those of the hour before it moves, the others all that they
        # count.
        is_rolling = window.end_ms is None and window.until_ms is not None
        self.from_ms = self.until_ms - HOUR_MS if is_rolling else window.start_ms
        self._settled, self._taken = settled, taken
        self.settled_outside, self.taken_outside = [*settled], [*taken]

    @property
    def settled(self) -> list[int]:
        """Return what ended requests came to."""
        if self._late is not None:
            self._late.put_down()
        return [*map(sub, self._settled, self.settled_outside)]

    @property
    def reserved(self) -> list[int]:
        """Return what open requests hold."""
        taken = map(sub, self._taken, self.taken_outside)
        return [*map(sub, taken, self.settled)]


class LateSums:
    """What has ended and is in no bucket and no settled yet, of all scopes of a book: the RequestScopes that have it.

    moves: those of all scopes together, so that one look tells that none has moved.
    """

    __slots__ = ("_zone", "moves", "scopes")

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self.moves = 0
        self.scopes: set[RequestScopes] = set()

    def put_down(self) -> None:
        """Add it to the buckets and to what is settled, as somebody is about to look at them."""
        while self.scopes:
            self.scopes.pop().put_down(self._zone)


class RequestScopes:
    """The scopes that requests of one kind count in, and what ended ones have taken in the minute from from_ms on.

    That is added up once for all of the scopes. It goes into the buckets of each, and into its settled, when the minute
    is over, and before anybody looks at them. watched: the scopes that limits are held against, which know at once of
    each request, and of what is taken: nearly all limits ask for nothing else.
    """

    __slots__ = ("_late", "all", "cost_pusd", "from_ms", "requests", "tokens", "until_ms", "watched")

    def __init__(self, all_totals: tuple["ScopeTotals", ...], late: LateSums) -> None:
        self._late = late
        self.all = all_totals
        self.watched: tuple[ScopeTotals, ...] = ()
        self.cost_pusd = self.tokens = self.requests = 0
        self.from_ms = self.until_ms = 0
        self.find_watched()

    def find_watched(self) -> None:
        """Look again which of the scopes limits are held against."""
        self.watched = tuple(totals for totals in self.all if totals.is_watched)

    def begin_minute(self, at_ms: int, zone: ZoneInfo) -> None:
        """Begin to add up another minute."""
        self.put_down(zone)
        self.from_ms = at_ms - at_ms % MINUTE_MS
        self.until_ms = self.from_ms + MINUTE_MS
        self._late.scopes.add(self)

    def put_down(self, zone: ZoneInfo) -> None:
        """Add to the buckets, and to what is settled, what is added up here."""
        taken: Taken = (self.cost_pusd, self.tokens, self.requests, NO_PIECES)
        if taken != NOTHING_TAKEN:
            for totals in self.all:
                _add(totals.bucket_at(self.from_ms, zone), taken)
                if totals.windows:
                    _add(totals.settled, taken)
        self.cost_pusd = self.tokens = self.requests = 0
        self.from_ms = self.until_ms = 0


class ScopeTotals:
    """The totals of one scope: past amounts in buckets, open reservations, and windows over both.

    is_watched: limits are held against it. Only then it has windows, and knows what is open. settled is what has ended
    since it has windows, but for what is still late (LateSums), and taken all that has ended with what open requests
    hold: nearly every request counts in all windows of its scope, so that one sum serves them all. moves counts what
    makes another answer of the same sums: windows that come and go, and requests that do not count in all.
    """

    __slots__ = (
        "_before",
        "_before_ms",
        "_fold_ms",
        "_hours",
        "_late",
        "_minutes",
        "_quarters",
        "bucket",
        "bucket_ms",
        "in_all_from_ms",
        "in_all_until_ms",
        "is_watched",
        "models",
        "moves",
        "open",
        "resting",
        "scope",
        "settled",
        "taken",
        "windows",
    )

    def __init__(self, scope: str, late: LateSums | None = None) -> None:
        """Begin with nothing. late: what has to be put down before its buckets are read."""
        self.scope = scope
        self._late = late
        self.is_watched = False
        self.models = models_of(scope)
        self.open: dict[object, Hold] = {}
        self.resting = 0  # of the open ones: those that no longer count as concurrent
        self.windows: dict[str, WindowTotals] = {}
        self.settled = [*NOTHING]
        self.taken = [*NOTHING]
        self.moves = 0
        self.in_all_from_ms, self.in_all_until_ms = 0, FOREVER_MS  # instants that lie in all windows
        self._minutes: dict[int, list[int]] = {}
        self._quarters: dict[int, list[int]] = {}  # of hours in which a day of the zone begins
        self._hours: dict[int, list[int]] = {}
        self._before = [*NOTHING]  # older than the horizon: only the total still counts it
        self._before_ms = 0  # the end of what _before holds
        self._fold_ms = 0
        self.bucket: list[int] = []  # the one that was added to last, a minute of _minutes
        self.bucket_ms = -1

    @property
    def running(self) -> int:
        """Return how many requests count as concurrent."""
        return len(self.open) - self.resting

    def window(self, name: str, zone: ZoneInfo, now_ms: int) -> WindowTotals:
        """Return the window that now_ms lies in, summed anew when it has changed."""
        found = self.windows.get(name)
        if found is None or now_ms >= found.until_ms or now_ms < found.from_ms:
            found = self.windows[name] = self.summed(window_at(name, zone, now_ms))
            self._windows_moved()
        return found

    def _move(self) -> None:
        self.moves += 1
        if self._late is not None:
            self._late.moves += 1

    def _windows_moved(self) -> None:
        """Find the instants that lie in all windows."""
        windows = self.windows.values()
        self.in_all_from_ms = max((window.start_ms for window in windows), default=0)
        self.in_all_until_ms = min((window.end_ms for window in windows), default=FOREVER_MS)
        self._move()

    def summed(self, window: Window) -> WindowTotals:
        """Sum a window from the buckets and the open reservations.

        A bucket that the start of the window cuts counts in full, and so does what was folded away later than
        that start: on the limit's side. Both happen only when the clock went back by days.
        """
        self.put_down()
        found = WindowTotals(window, self.settled, self.taken, self._late)
        start, end = found.start_ms, found.end_ms
        counted: list[list[int]] = []
        for buckets, size_ms in (
            (self._minutes, MINUTE_MS),
            (self._quarters, _QUARTER_MS),
            (self._hours, HOUR_MS),
        ):
            after = start - size_ms
            counted += [amounts for at_ms, amounts in buckets.items() if after < at_ms < end]
        before = self._before if start < self._before_ms else NOTHING
        settled = [*map(sum, zip(before, *counted, strict=True))]  # months have thousands of buckets
        taken = [*settled]
        for held in self.open.values():
            if start <= held.started_ms < end:
                _add(taken, held.amounts)
        found.settled_outside = [*map(sub, self.settled, settled)]
        found.taken_outside = [*map(sub, self.taken, taken)]
        return found

    def hold(self, started_ms: int, amounts: Taken) -> None:
        """Add to what is reserved (or take from it) in every window that the instant lies in."""
        hold_in((self,), started_ms, amounts)

    def watch(self, holds: Iterable[Hold]) -> None:
        """Know from now on what is open, of which holds are all."""
        self.is_watched = True
        for held in holds:
            if self in held.scopes.all:
                held.scopes.find_watched()
                self.open[held.request_id] = held
                if not held.running:
                    self.resting += 1

    def put_down(self) -> None:
        """Make settled and the buckets whole."""
        if self._late is not None and self._late.scopes:
            self._late.put_down()

    def settle(self, at_ms: int, amounts: Taken, zone: ZoneInfo) -> None:
        """Add settled amounts (negative ones correct) at an instant, without any reservation."""
        if self.windows:
            _add(self.settled, amounts)
            _add(self.taken, amounts)
            if not self.in_all_from_ms <= at_ms < self.in_all_until_ms:
                self.leave_out(at_ms, amounts, amounts)
        self._store(at_ms, amounts, zone)

    def settle_hour(self, hour_ms: int, amounts: Taken) -> None:
        """Add a whole hour of a roll-up."""
        self.windows.clear()
        self._windows_moved()
        _add(self._hours.setdefault(hour_ms - hour_ms % HOUR_MS, [*NOTHING]), amounts)

    def leave_out(self, at_ms: int, settled: Taken, taken: Taken) -> None:
        """Leave what was added to the sums out of the windows that its instant does not lie in."""
        self._move()
        for window in self.windows.values():
            if not window.start_ms <= at_ms < window.end_ms:
                _add(window.settled_outside, settled)
                _add(window.taken_outside, taken)

    def drop_windows(self, now_ms: int) -> None:
        """Forget the windows that are over, of limits that may be no more: what is asked for again is summed anew."""
        over = [name for name, window in self.windows.items() if window.end_ms <= now_ms]
        if over:
            for name in over:
                del self.windows[name]
            self._windows_moved()

    def _store(self, at_ms: int, amounts: Taken, zone: ZoneInfo) -> None:
        _add(self.bucket_at(at_ms, zone), amounts)

    def bucket_at(self, at_ms: int, zone: ZoneInfo) -> list[int]:
        """Return what is to be added to for an instant."""
        minute_ms = at_ms - at_ms % MINUTE_MS
        if minute_ms == self.bucket_ms:
            return self.bucket
        if at_ms < self._fold_ms:
            buckets, key = self._folded(at_ms, zone)
            return buckets.setdefault(key, [*NOTHING])
        self.bucket_ms = minute_ms
        self.bucket = self._minutes.setdefault(minute_ms, [*NOTHING])
        return self.bucket

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
        self.bucket_ms = -1
        for at_ms in [at_ms for at_ms in self._minutes if at_ms < before_ms]:
            buckets, key = self._folded(at_ms, zone)
            bucket = buckets.setdefault(key, [*NOTHING])
            bucket[:] = map(add, bucket, self._minutes.pop(at_ms))
        for buckets in (self._quarters, self._hours):
            for at_ms in [at_ms for at_ms in buckets if at_ms < now_ms - horizon_ms]:
                self._before[:] = map(add, self._before, buckets.pop(at_ms))
                self._before_ms = max(self._before_ms, at_ms + HOUR_MS)

    def oldest_hour_ms(self, window: WindowTotals) -> int | None:
        """Return the first hour of a rolling window in which anything was used or is held."""
        self.put_down()
        used = [
            at_ms
            for buckets in (self._minutes, self._quarters, self._hours)
            for at_ms, amounts in buckets.items()
            if at_ms >= window.start_ms and any(amounts)
        ]
        used += [held.started_ms for held in self.open.values() if held.started_ms >= window.start_ms]
        first = min(used, default=None)
        return None if first is None else first - first % HOUR_MS

    @property
    def folded_ms(self) -> int:
        """Return the time before which minutes are no longer kept apart."""
        return self._fold_ms


def hold_in(all_totals: Iterable[ScopeTotals], started_ms: int, amounts: Taken) -> None:
    """Add to what is reserved in some scopes (or take from it), in the windows that the instant lies in."""
    cost_pusd, tokens, requests, pieces = amounts
    for totals in all_totals:
        if not totals.windows:
            continue
        taken = totals.taken
        taken[COST] += cost_pusd
        taken[TOKENS] += tokens
        taken[REQUESTS] += requests
        if pieces is not NO_PIECES:
            _add_pieces(taken, pieces)
        if not totals.in_all_from_ms <= started_ms < totals.in_all_until_ms:
            totals.drop_windows(started_ms)
            totals.leave_out(started_ms, NOTHING_TAKEN, amounts)


def end_hold(held: Hold, all_totals: Iterable[ScopeTotals], amounts: Taken, zone: ZoneInfo) -> None:
    """Replace a reservation by what it came to, in some of its scopes."""
    for totals in all_totals:
        _add(totals.bucket_at(held.started_ms, zone), amounts)
        if totals.is_watched:
            end_watched(held, (totals,), amounts)


def end_watched(held: Hold, watched: Iterable[ScopeTotals], amounts: Taken) -> None:
    """Replace a reservation by what it came to, in some watched scopes: in the windows of its start."""
    for totals in watched:
        if totals.windows:
            _add(totals.settled, amounts)
    end_taken(held, watched, amounts)


def end_taken(held: Hold, watched: Iterable[ScopeTotals], amounts: Taken) -> None:
    """Do as end_watched(), but for settled: that these amounts are added to it is seen to elsewhere."""
    request_id, started_ms, runs = held.request_id, held.started_ms, held.running
    cost_pusd, tokens, requests, pieces = amounts
    held_pusd, held_tokens, held_requests, held_pieces = held.amounts
    more_pusd, more_tokens, more_requests, more_pieces = (
        cost_pusd - held_pusd,
        tokens - held_tokens,
        requests - held_requests,
        NO_PIECES,
    )
    has_pieces = held_pieces is not NO_PIECES or pieces is not NO_PIECES
    if has_pieces:
        more_pieces = tuple(map(sub, pieces, held_pieces))
    for totals in watched:
        del totals.open[request_id]
        if not runs:
            totals.resting -= 1
        if not totals.windows:
            continue
        taken = totals.taken
        taken[COST] += more_pusd
        taken[TOKENS] += more_tokens
        if more_requests:
            taken[REQUESTS] += more_requests
        if has_pieces:
            _add_pieces(taken, more_pieces)
        if not totals.in_all_from_ms <= started_ms < totals.in_all_until_ms:
            totals.leave_out(started_ms, amounts, (more_pusd, more_tokens, more_requests, more_pieces))


def holds_a_day_edge(hour_ms: int, zone: ZoneInfo) -> bool:
    """Return whether a day of the zone begins inside this UTC hour, which no roll-up can split."""
    return hour_ms < window_at("day", zone, hour_ms + HOUR_MS - 1).start_ms < hour_ms + HOUR_MS


def _add(total: list[int], amounts: Taken) -> None:
    cost_pusd, tokens, requests, pieces = amounts
    total[COST] += cost_pusd
    total[TOKENS] += tokens
    total[REQUESTS] += requests
    _add_pieces(total, pieces)


def _add_pieces(total: list[int], pieces: Sequence[int]) -> None:
    for place, amount in enumerate(pieces, REQUESTS + 1):
        total[place] += amount
