"""The calls of one day's bill, and all that goes over each of them: reading, listing, adding up, comparing.

Up to a million of them: where the day is a busy one it is done in a process of its own (call_process.py), so that
nothing here knows the event loop, and whatever may be long is handed over a part at a time.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from proxy.policy.reconciliation.day_comparison import (
    BilledCall,
    DayBooks,
    DayComparison,
    DriftEntry,
    compare_day,
)
from proxy.providers.account.source import TakenCosts
from proxy.storage.reconciliation import DayQuestion, LedgerDay

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_TAIL_MS: Final = 2 * _HOUR_MS
_SECOND_DIGITS: Final = 10  # an id is gen-<the second in which it was made>-…
_new_tuple = tuple.__new__  # read from its class it would take longer than the call
_NOT_TOLD: Final = tuple(BilledCall._field_defaults[name] for name in BilledCall._fields[5:])


class CallSums(Struct, frozen=True):
    """What the calls of a day and of the hours after it come to, in pico-USD; day: of those on the day alone.

    most_pusd: what any sum of some of them could come to.
    """

    calls: int = 0
    whole_pusd: int = 0
    most_pusd: int = 0
    day_calls: int = 0
    day_pusd: int = 0


class BillSums(Struct, frozen=True):
    """What the bill says of a day beside its calls; see DayBooks for the fields."""

    account_pusd: int | None
    other_keys_pusd: int
    is_complete: bool
    has_upstream: bool


class CallLook(Struct, frozen=True):
    """What the ledger has of the day. untold: how many calls no row names, or no row was told the cost of."""

    has_rows: bool
    models: frozenset[str]
    untold: int


class ComparisonSize(Struct, frozen=True):
    """A comparison without its parts; entries and pairs: how many there are to fetch."""

    booked_pusd: int
    billed_pusd: int
    entries: int
    pairs: int


class DayCalls(Struct):
    """Keeps them by the hash of the key that made them. read_day: reads the ledger's file.

    pending: what was taken of a time and is not listed yet.
    """

    day_ms: int
    read_day: Callable[[DayQuestion], LedgerDay]
    of_keys: dict[str, dict[str, BilledCall]] = field(default_factory=dict)
    pending: dict[str, int] = field(default_factory=dict)
    _ledger: LedgerDay | None = None
    _untold: Sequence[BilledCall] = ()
    _told: dict[str, BilledCall] = field(default_factory=dict)
    _found: DayComparison | None = None

    def begin(self, day_ms: int) -> None:
        """Go over to another day; nothing is left of the one before."""
        self.day_ms = day_ms
        self._ledger, self._untold, self._told, self._found = None, (), {}, None
        self.drop_all()

    def load(self, of_keys: dict[str, dict[str, BilledCall]], pending: dict[str, int]) -> None:
        """Go on where others were."""
        self.of_keys, self.pending = of_keys, pending

    def drop_taken(self) -> None:
        """Drop what was taken and is not listed."""
        self.pending = {}

    def drop_all(self) -> None:
        """Drop all calls."""
        self.of_keys, self.pending = {}, {}

    def take(self, body: bytes) -> TakenCosts:
        """Read an answer of a time; a later one of the same time knows better."""
        from proxy.providers.account.costs_answer import read_costs  # noqa: PLC0415 - in its thread

        costs, taken = read_costs(body)
        self.pending |= costs
        return taken

    def list_taken(self, key: str, from_ms: int, to_ms: int) -> None:
        """List what was taken of a time, by the key that made it, unless it is listed already."""
        calls = self.of_keys.setdefault(key, {})
        for id_, cost_pusd in self.pending.items():
            if id_ not in calls:
                calls[id_] = call_of(id_, key, cost_pusd, from_ms, to_ms)
        self.pending = {}

    def all_calls(self) -> list[BilledCall]:
        return [call for calls in self.of_keys.values() for call in calls.values()]

    def sums(self) -> CallSums:
        calls, end_ms = self.all_calls(), self.day_ms + _DAY_MS
        of_day = [call.cost_pusd for call in calls if call.hour_ms < end_ms]
        whole_pusd, most_pusd = sum(call.cost_pusd for call in calls), sum(abs(call.cost_pusd) for call in calls)
        return CallSums(len(calls), whole_pusd, most_pusd, len(of_day), sum(of_day))

    def look(self, provider: str, keys: Mapping[str, str], own_key: str) -> CallLook:
        """Read the day from the ledger, and find out which calls are to be asked about. keys: hashes by name."""
        calls = self.all_calls()
        ledger = self._ledger = self.read_day(DayQuestion(provider, self.day_ms, calls, keys, own_key))
        wanted = {id_ for request in ledger.requests if not request.is_told for id_ in request.generation_ids}
        wanted |= ledger.strangers
        self._untold, self._told = [call for call in calls if call.generation_id in wanted], {}
        models = frozenset(request.model for request in ledger.requests)
        return CallLook(ledger.has_rows, models, len(self._untold))

    def untold(self, at: int, count: int) -> Sequence[BilledCall]:
        """Return a part of the calls that the last look found to be asked about."""
        return self._untold[at : at + count]

    def tell(self, calls: Sequence[BilledCall]) -> None:
        """Remember what is known of calls beside the bill."""
        self._told |= {call.generation_id: call for call in calls}

    def compare(self, bill: BillSums, books: DayBooks) -> ComparisonSize:
        """Compare the day that was looked at. books: without the bill's side and without requests."""
        assert self._ledger is not None, "look() comes first"
        found = self._found = compare_calls(self.all_calls(), bill, self._ledger, self._told, books)
        return ComparisonSize(found.booked_pusd, found.billed_pusd, len(found.entries), len(found.pairs))

    def entries(self, at: int, count: int) -> Sequence[DriftEntry]:
        """Return a part of the differences that were found."""
        assert self._found is not None, "compare() comes first"
        return self._found.entries[at : at + count]

    def pairs(self, at: int, count: int) -> Sequence[tuple[str, int]]:
        """Return a part of the pairs that were found."""
        assert self._found is not None, "compare() comes first"
        return [*islice(self._found.pairs.items(), at, at + count)]


def open_calls(opened_by: str, path: str) -> DayCalls:
    """Return what goes over the calls of a ledger, for a process of its own; begin() comes first.

    opened_by names what opens path for reports, as package.module:function: which kind of ledger it is is not known
    here.
    """
    module, _, name = opened_by.partition(":")
    return DayCalls(0, getattr(import_module(module), name)(Path(path)).ledger_day)


def compare_calls(
    calls: Sequence[BilledCall], bill: BillSums, ledger: LedgerDay, told: Mapping[str, BilledCall], books: DayBooks
) -> DayComparison:
    """Compare a day call by call. told: what is known beside the bill of calls that no row names."""
    wanted = {id_ for request in ledger.requests for id_ in request.generation_ids}
    wanted |= ledger.earlier | ledger.strangers
    end_ms = books.day_ms + _DAY_MS
    here, elsewhere_pusd = dict[str, BilledCall](), 0
    for call in calls:
        if call.generation_id not in ledger.elsewhere:
            here[call.generation_id] = told.get(call.generation_id, call)
        elif call.hour_ms < end_ms:
            elsewhere_pusd += call.cost_pusd
    listed_pusd = sum(call.cost_pusd for call in here.values() if call.hour_ms < end_ms)
    whole_pusd = None if bill.account_pusd is None else bill.account_pusd - elsewhere_pusd
    asked = {id_: call for id_, call in here.items() if id_ in wanted}  # as the bill has them: differences are numbered
    return compare_day(
        replace(
            books,
            requests=ledger.requests,
            billed={id_: call for id_, call in asked.items() if call.hour_ms < end_ms},
            later={id_: call for id_, call in asked.items() if call.hour_ms >= end_ms},
            earlier=ledger.earlier,
            apart=ledger.apart,
            agreed_pusd=ledger.agreed_pusd,
            account_pusd=listed_pusd + bill.other_keys_pusd if whole_pusd is None else whole_pusd,
            other_keys_pusd=bill.other_keys_pusd,
            is_complete=bill.is_complete,
            shared_keys=ledger.shared_keys,
            has_upstream=bill.has_upstream,
        )
    )


def call_of(id_: str, key: str, cost_pusd: int, from_ms: int, to_ms: int) -> BilledCall:
    """Return a call as it was listed; the second in which it was made is in its id, if it is one of the time."""
    second = id_[4:14]
    created_ms = from_ms
    if id_[:4] == "gen-" and id_[14:15] == "-" and len(second) == _SECOND_DIGITS and second.isdecimal():
        created_ms = int(second) * 1000
    if from_ms <= created_ms < to_ms:  # nearly always
        hour_ms = created_ms - created_ms % _HOUR_MS
    else:
        if not from_ms - _TAIL_MS <= created_ms < to_ms:
            created_ms = from_ms
        hour_ms = from_ms - from_ms % _HOUR_MS
    # what BilledCall(…) comes to, without the call between
    return _new_tuple(BilledCall, (id_, key, cost_pusd, hour_ms, created_ms) + _NOT_TOLD)  # noqa: RUF005 - sooner
