"""Where another process finds the ledger."""

from pathlib import Path

from msgspec import Struct


class LedgerPlace(Struct, frozen=True):
    """How another process reads the ledger: by which function, as package.module:function, from which file."""

    opened_by: str
    path: Path
