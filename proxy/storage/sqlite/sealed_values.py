"""Sealed values in their one table, and the salt that binds them to this database."""

import hashlib
import secrets
import sqlite3

from proxy.core.secret import Secret
from proxy.policy.sealing.master_key import MasterKeyError
from proxy.policy.sealing.master_ring import MasterRing
from proxy.policy.sealing.place import Place
from proxy.policy.sealing.record import NONCE_BYTES, UnsealError, master_key_id_of, seal
from proxy.storage.master_key_store import ResealedBatch
from proxy.storage.master_keys import MasterKeys
from proxy.storage.sealed import MasterKeyState, Opened, SealedCount
from proxy.storage.users import MissingError, UserError

BATCH = 100
"""Values of one transaction of a rotation: requests wait for none longer than a few milliseconds."""

_SALT = "SELECT value FROM meta WHERE name = 'seal_salt'"
_MAKE_SALT = "INSERT INTO meta VALUES ('seal_salt', ?)"
_FIND = "SELECT version, sealed FROM sealed_values WHERE of_table = ? AND of_row = ? AND of_column = ?"
_PUT = """INSERT INTO sealed_values (of_table, of_row, of_column, version, sealed) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET version = excluded.version, sealed = excluded.sealed"""
_REMOVE = "DELETE FROM sealed_values WHERE of_table = ? AND of_row = ?"
_LIST = "SELECT of_row, of_column, version, sealed FROM sealed_values WHERE of_table = ? ORDER BY id"
_ALL = "SELECT sealed FROM sealed_values"
_EVERY = "SELECT of_table, of_row, of_column, version, sealed FROM sealed_values"
_NEXT = """SELECT id, of_table, of_row, of_column, version, sealed FROM sealed_values
    WHERE id > ? ORDER BY id LIMIT ?"""
_RESEAL = "UPDATE sealed_values SET sealed = ? WHERE id = ? AND sealed = ?"


def read_salt(connection: sqlite3.Connection) -> bytes:
    """Return the salt of the database; none before the first sealed value."""
    found = connection.execute(_SALT).fetchone()
    try:
        return b"" if found is None else bytes.fromhex(found[0])
    except ValueError:  # by somebody's hand: nothing opens, and each value says so
        return b"\0"


def read_sealed_values(connection: sqlite3.Connection, table: str, master: MasterKeys) -> dict[Place, Opened]:
    """Return the values of a table, each with its place; one that does not open is its error."""
    salt, found = read_salt(connection), dict[Place, Opened]()
    for row, column, version, sealed in connection.execute(_LIST, (table,)).fetchall():
        place = Place(table, row, column)
        try:
            found[place] = master.unseal(sealed, place, version, salt)
        except UnsealError as error:
            found[place] = error
    return found


def count_sealed_values(connection: sqlite3.Connection) -> list[SealedCount]:
    """Return how many values each master key has sealed, by its id."""
    counts: dict[str | None, int] = {}
    for (sealed,) in connection.execute(_ALL):
        id_ = master_key_id_of(sealed)
        counts[id_] = counts.get(id_, 0) + 1
    return [SealedCount(id_, counts[id_]) for id_ in sorted(counts, key=str)]


def read_master_key_state(connection: sqlite3.Connection, master: MasterKeys) -> MasterKeyState:
    """Return what is known of the master key now: what stands in the file, not what was read last."""
    ring, problem, where = None, None, list[str]()
    try:
        ring, where = master.read(), master.where()
    except MasterKeyError as error:
        problem = str(error)
    salt, unopened = read_salt(connection), 0
    for table, row, column, version, sealed in connection.execute(_EVERY).fetchall():
        try:
            master.unseal(sealed, Place(table, row, column), version, salt)
        except UnsealError:
            unopened += 1
    return MasterKeyState(
        str(master.file),
        tuple(where),
        problem,
        None if ring is None else ring.active.id,
        () if ring is None else tuple(key.id for key in ring.old),
        () if ring is None else tuple(key.id for key in ring.archive),
        tuple(count_sealed_values(connection)),
        unopened,
    )


class SqliteSealedStore:
    """A SealedStore on the owner's connection."""

    def __init__(self, connection: sqlite3.Connection, master: MasterKeys) -> None:
        self._connection = connection
        self._master = master
        self.made_file: str | None = None

    def put(self, place: Place, value: Secret) -> None:
        ring, salt = self._ring_to_seal(place), self._salt()
        before = self._connection.execute(_FIND, place).fetchone()
        version = 1 if before is None else before[0] + 1
        sealed = seal(value, place, version, key=ring.active, salt=salt, nonce=secrets.token_bytes(NONCE_BYTES))
        self._connection.execute(_PUT, (*place, version, sealed))

    def open(self, place: Place) -> Secret:
        found = self._connection.execute(_FIND, place).fetchone()
        if found is None:
            raise MissingError(f"There is no {place}.")
        return self._master.unseal(found[1], place, found[0], read_salt(self._connection))

    def remove(self, table: str, row: str) -> None:
        self._connection.execute(_REMOVE, (table, row))

    def fingerprint(self, place: Place) -> str | None:
        found = self._connection.execute(_FIND, place).fetchone()
        return None if found is None else hashlib.sha256(found[1].encode()).hexdigest()

    def counts(self) -> list[SealedCount]:
        """Return how many values each master key has sealed."""
        return count_sealed_values(self._connection)

    def reseal(self, after_id: int) -> ResealedBatch:
        """Seal some values anew that an older key of the ring opens; what does not open stays as it is.

        Each only where it is still what was read, in the transaction of the caller.
        """
        ring, salt = self._ring(), read_salt(self._connection)
        if ring is None:
            raise UserError("There is no master key, so nothing can be sealed anew.")
        rows = self._connection.execute(_NEXT, (after_id, BATCH)).fetchall()
        resealed = 0
        for id_, table, row, column, version, before in rows:
            if master_key_id_of(before) == ring.active.id:
                continue
            place = Place(table, row, column)
            try:
                value = self._master.unseal(before, place, version, salt)
            except UnsealError:
                continue
            after = seal(value, place, version, key=ring.active, salt=salt, nonce=secrets.token_bytes(NONCE_BYTES))
            resealed += self._connection.execute(_RESEAL, (after, id_, before)).rowcount
        return ResealedBatch(resealed, rows[-1][0] if len(rows) == BATCH else None)

    def opens_with(self, id_: str) -> int:
        """Return how many values still open with an older key of the ring: while there are any, it is not retired."""
        salt, count = read_salt(self._connection), 0
        for table, row, column, version, sealed in self._connection.execute(_EVERY).fetchall():
            if master_key_id_of(sealed) == id_:
                try:
                    self._master.unseal(sealed, Place(table, row, column), version, salt)
                except UnsealError:
                    continue
                count += 1
        return count

    def _ring(self) -> MasterRing | None:
        try:
            return self._master.read()
        except MasterKeyError as error:
            raise UserError(f"The master key cannot be used: {error}") from None

    def _ring_to_seal(self, place: Place) -> MasterRing:
        """Return the ring as it is on disk now; made where nothing was ever sealed, and in no other case."""
        ring, counts = self._ring(), self.counts()
        if ring is None:
            if counts:
                raise UserError(_master_key_lost(self._master, counts))
            try:
                ring = self._master.make()
            except MasterKeyError as error:
                raise UserError(f"The master key cannot be made: {error}") from None
            self.made_file = str(self._master.file)
            return ring
        known = [ring.find(count.master_key_id) for count in counts if count.master_key_id is not None]
        is_new = self._connection.execute(_FIND, place).fetchone() is None
        if counts and not any(known) and is_new:
            raise UserError(_master_key_wrong(ring, counts))
        return ring

    def _salt(self) -> bytes:
        if not self._connection.execute(_SALT).fetchone():
            self._connection.execute(_MAKE_SALT, (secrets.token_hex(32),))
        return read_salt(self._connection)


def _master_key_lost(master: MasterKeys, counts: list[SealedCount]) -> str:
    return (
        f"The master key is missing: {master.file} does not exist, and {_needed(counts)} cannot be opened without it."
        " A new one is not made over them. Bring it back: tollkeeper keys master import FILE. If it is lost, remove"
        " what tollkeeper keys list shows as not to be opened, then add it anew."
    )


def _master_key_wrong(ring: MasterRing, counts: list[SealedCount]) -> str:
    return (
        f"Master key {ring.active.id} is not the one of this database: it opens none of {_needed(counts)}. Bring the"
        " right one back: tollkeeper keys master import FILE. Or set those anew first: tollkeeper keys rotate."
    )


def _needed(counts: list[SealedCount]) -> str:
    total = sum(count.values for count in counts)
    ids = ", ".join(count.master_key_id or "no key at all" for count in counts)
    return f"{total} sealed value{'' if total == 1 else 's'} (master key {ids})"
