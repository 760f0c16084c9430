"""The master key's changes: the ring in its file, and the values in their table, in an order that a crash may cut.

The new key is on disk before anything is sealed with it, and no key is retired while a value opens with it.
"""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from proxy.policy.sealing.master_key import KEY_BYTES, MasterKey, MasterKeyError
from proxy.policy.sealing.master_ring import MasterRing
from proxy.storage.audit import Actor
from proxy.storage.master_key_store import ResealedBatch
from proxy.storage.master_keys import MasterKeys
from proxy.storage.sqlite.audit_log import append_audit
from proxy.storage.sqlite.sealed_values import SqliteSealedStore, count_sealed_values
from proxy.storage.users import UserError


class SqliteMasterKey:
    """A MasterKeyStore on the owner's connection."""

    def __init__(self, connection: sqlite3.Connection, master: MasterKeys, sealed: SqliteSealedStore) -> None:
        self._connection = connection
        self._master = master
        self._sealed = sealed

    def make(self, now_ms: int, actor: Actor) -> None:
        with _told():
            if self._master.read() is not None:
                raise UserError(f"There is a master key already, in {' and in '.join(self._master.where())}.")
            if counts := count_sealed_values(self._connection):
                total = sum(count.values for count in counts)
                raise UserError(
                    f"{total} sealed {'value needs' if total == 1 else 'values need'} the master key that sealed them,"
                    " and no new one is made over them."
                    " Bring it back: tollkeeper keys master import FILE. If it is lost, remove those values first:"
                    " tollkeeper keys list"
                )
            ring = self._master.make()
        self._append(now_ms, actor, "make", None, ring)

    def bring_back(self, now_ms: int, actor: Actor, ring: MasterRing, *, replace: bool) -> None:
        with _told():
            before = self._master.read()
            needed = {count.master_key_id for count in count_sealed_values(self._connection)} - {None}
            given = (ring.active, *ring.old, *ring.archive)
            if needed and not replace and not needed & {key.id for key in given}:
                raise UserError(
                    f"Master key {ring.active.id} opens nothing here: {', '.join(sorted(map(str, needed)))} is needed."
                )
            if before is None:
                self._master.create(ring)
            elif before != ring:
                if not replace:
                    raise UserError(f"Master key {before.active.id} is there: --replace puts this one in its place.")
                kept = (key for key in (before.active, *before.old, *before.archive) if key not in given)
                self._master.replace(MasterRing(ring.active, ring.old, (*ring.archive, *kept)))
        self._append(now_ms, actor, "import", before, ring)

    def export(self, now_ms: int, actor: Actor) -> MasterRing:
        ring = self._ring()
        self._append(now_ms, actor, "export", ring, ring)
        return ring

    def begin_rotation(self, now_ms: int, actor: Actor, *, resume: bool, forget: bool) -> bool:
        before = self._ring()
        ring = before
        with _told():
            self._master.check_writable()
            if any(before.is_retired(count.master_key_id or "") for count in count_sealed_values(self._connection)):
                ring = before.with_archive_open()
            if not ring.old and not resume:
                ring = before.with_new(MasterKey(secrets.token_bytes(KEY_BYTES)))
            elif not ring.old and not (forget and ring.archive):
                raise UserError("No rotation of the master key was cut, and no value needs a retired one.")
            if ring != before:
                self._master.replace(ring)
        self._append(now_ms, actor, "rotate", before, ring)
        return ring.active == before.active

    def reseal(self, after_id: int) -> ResealedBatch:
        return self._sealed.reseal(after_id)

    def end_rotation(self, now_ms: int, actor: Actor, *, forget: bool) -> None:
        before = self._ring()
        for key in before.old:
            if left := self._sealed.opens_with(key.id):
                raise UserError(f"{left} values still need master key {key.id}: tollkeeper keys master rotate --resume")
        ring = before.retired().forgotten() if forget else before.retired()
        with _told():
            self._master.replace(ring)
        self._append(now_ms, actor, "retire", before, ring)

    def _ring(self) -> MasterRing:
        with _told():
            ring = self._master.read()
        if ring is None:
            raise UserError("There is no master key. The first key that is added makes it: tollkeeper keys add")
        return ring

    def _append(self, now_ms: int, actor: Actor, verb: str, before: MasterRing | None, after: MasterRing) -> None:
        told = None if before is None else _ids(before)
        append_audit(self._connection, now_ms, actor, f"master_key.{verb}", after.active.id, told, _ids(after))


def _ids(ring: MasterRing) -> dict[str, object]:
    """Return what the audit trail keeps of a ring: which keys, and never a key."""
    return {"active": ring.active.id, "old": [key.id for key in ring.old], "archive": [key.id for key in ring.archive]}


@contextmanager
def _told() -> Iterator[None]:
    """Turn what keeps the ring from being read or written into a refusal of the change."""
    try:
        yield
    except MasterKeyError as error:
        raise UserError(str(error)) from None
