"""Sealed values: secrets that the database holds only as ciphertexts, each bound to its place.

Whoever keeps a secret in a table of theirs leaves the column out, and keeps it here under the table's name, whatever
identifies the row for good, and the column's name. A rotation of the master key so has one table to go through.
"""

from typing import Any, NamedTuple, Protocol

from proxy.core.secret import Secret
from proxy.policy.sealing.place import Place
from proxy.policy.sealing.record import UnsealError

Opened = Secret | UnsealError  # a value, or why it does not open: that stops nobody else


class SealedStore(Protocol):
    """Sealed values inside the owner's transaction: Stores.sealed. Reports.sealed_values reads them beside it."""

    @property
    def made_file(self) -> str | None:
        """Return the file of the master key that this store has just made; None: there was one."""
        ...

    def put(self, place: Place, value: Secret) -> None:
        """Seal a value in place of whatever stands there; raises UserError where there is no usable master key.

        The first sealed value of a database makes the master key, where none is at hand.
        """
        ...

    def open(self, place: Place) -> Secret:
        """Return a value; raises UnsealError for one that does not open, MissingError where there is none."""
        ...

    def remove(self, table: str, row: str) -> None:
        """Remove all values of a row."""
        ...

    def fingerprint(self, place: Place) -> str | None:
        """Return the SHA-256 in hex of the ciphertext at a place, which differs with each put; None: nothing there.

        This is what the audit trail may hold of a secret: nobody can try guesses against it.
        """
        ...


class SealedReader(Protocol):
    """What is asked of sealed values beside those who write them."""

    def sealed_values(self, table: str) -> dict[Place, Opened]:
        """Return the sealed values of a table, each with its place; one that does not open is its error."""
        ...

    def provider_keys(self) -> list[dict[str, Any]]:
        """Return the rows of storage/provider_keys.py, each with its secret, or with the problem why it has none."""
        ...

    def master_key(self) -> "MasterKeyState":
        """Return what is known of the master key; never raises for one that cannot be read."""
        ...


class SealedCount(NamedTuple):
    """How many values one master key has sealed; None: texts that are no sealed values."""

    master_key_id: str | None
    values: int


class MasterKeyState(NamedTuple):
    """The ids of the ring's keys, where it was found, and what they have sealed. id None: there is none, or a problem.

    old: keys of a rotation that has not ended. archive: retired ones. unopened: how many values do not open.
    """

    file: str
    where: tuple[str, ...]
    problem: str | None
    id: str | None
    old: tuple[str, ...]
    archive: tuple[str, ...]
    values: tuple[SealedCount, ...]
    unopened: int
