"""A key that two entries of the configuration have: each call is of one of them alone, also once the day is over."""

from proxy.jobs.reconciliation.day_calls import BillSums, compare_calls
from proxy.policy.reconciliation.day_comparison import BilledCall, DayBooks
from proxy.storage.reconciliation import LedgerDay

DAY_MS = 20_000 * 86_400_000


def test_a_call_of_the_other_entry_is_on_its_bill_alone() -> None:
    calls = [BilledCall(id_, "k", pusd, DAY_MS, DAY_MS) for id_, pusd in (("ours", 500), ("theirs", 70))]
    ledger = LedgerDay(
        (), frozenset(), frozenset(), (), 500, shared_keys=frozenset("k"), elsewhere=frozenset({"theirs"})
    )
    for account_pusd in (None, 570):
        bill = BillSums(account_pusd, 0, is_complete=True, has_upstream=True)
        found = compare_calls(calls, bill, ledger, {}, DayBooks(DAY_MS, DAY_MS + 9 * 86_400_000, (), {}))
        assert (found.billed_pusd, found.booked_pusd, found.entries) == (500, 500, ())
