"""The process that goes over the calls of busy days."""

from collections.abc import Sequence
from typing import Any, Final

from proxy.core.child_process import ChildGoneError, ChildProcess
from proxy.providers.account.source import AccountError
from proxy.storage.ledger_place import LedgerPlace

_MAKER: Final = "proxy.jobs.reconciliation.day_calls:open_calls"


class CallProcess(ChildProcess):
    """Asked for methods of DayCalls, after begin(DAY_MS)."""

    def __init__(self, place: LedgerPlace) -> None:
        super().__init__(_MAKER, place.opened_by, str(place.path.absolute()))

    def do(self, method: str, arguments: Sequence[Any]) -> Any:
        """Return what a method returns; raises LedgerError, or AccountError where the process is gone."""
        try:
            return super().do(method, arguments)
        except ChildGoneError as error:
            text = (
                f"The process that reads the bill {error}: what it said is on the proxy's standard error; a system that"
                " runs out of memory kills without a word. Nothing was compared. Try again: tollkeeper sync."
            )
            # the provider is not to blame: not asked again and again
            raise AccountError("unreadable", text, was_sent=False) from None
