"""Where a sealed value stands. What is written here is part of every ciphertext and never changes."""

import json
from typing import NamedTuple


class Place(NamedTuple):
    """A column of a row: names of the table and column, and what identifies the row for good.

    The texts go into the ciphertext: a value that was moved to another place does not open there.
    """

    table: str
    row: str
    column: str

    @property
    def purpose(self) -> str:
        """Return what the key for this kind of value is derived for."""
        return f"{self.table}.{self.column}"

    def __str__(self) -> str:
        return f"{self.table}.{self.column} of {self.row}"


def associated_data(place: Place, version: int) -> bytes:
    """Return what a ciphertext is bound to: the place and how many times its value was set."""
    return json.dumps([*place, version], separators=(",", ":"), ensure_ascii=True).encode()
