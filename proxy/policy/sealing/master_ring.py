"""The ring of master keys: the active one seals, older ones still open while a rotation is under way.

As text it is the line of the only key, or a JSON object: {"active": line, "old": [lines], "archive": [lines]}.
"""

import json
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from proxy.policy.sealing.master_key import MasterKey, MasterKeyError, read_master_key

_FIELDS = frozenset({"active", "old", "archive"})
_KEYS_MAX = 100


class MasterRing(Struct, frozen=True):
    """old: keys of a rotation that has not ended. archive: retired keys, which open nothing, kept for back-ups."""

    active: MasterKey
    old: tuple[MasterKey, ...] = ()
    archive: tuple[MasterKey, ...] = ()

    def find(self, id_: str) -> MasterKey | None:
        """Return the key that may open a value; None for one that is retired or not in the ring."""
        return next((key for key in (self.active, *self.old) if key.id == id_), None)

    def is_retired(self, id_: str) -> bool:
        return any(key.id == id_ for key in self.archive)

    def with_new(self, key: MasterKey) -> "MasterRing":
        """Return the ring at the beginning of a rotation: a new key seals, the one before still opens."""
        return replace(self, active=key, old=(self.active, *self.old))

    def with_archive_open(self) -> "MasterRing":
        """Return the ring with which values of retired keys, as of an older back-up, are sealed anew."""
        return MasterRing(self.active, (*self.old, *self.archive))

    def retired(self) -> "MasterRing":
        """Return the ring at the end of a rotation: older keys open nothing any more."""
        return MasterRing(self.active, (), (*self.old, *self.archive))

    def forgotten(self) -> "MasterRing":
        """Return the ring without its archive."""
        return replace(self, archive=())

    def as_text(self) -> str:
        if not self.old and not self.archive:
            return self.active.as_text() + "\n"
        lists = {name: [key.as_text() for key in getattr(self, name)] for name in ("old", "archive")}
        return json.dumps({"active": self.active.as_text(), **lists}, indent=1) + "\n"


def read_ring(text: str) -> MasterRing:
    """Read a ring; raises MasterKeyError that never quotes a key."""
    text = text.strip().lstrip("\ufeff")
    if not text:
        raise MasterKeyError("There is no master key in it: it is empty.")
    if not text.startswith("{"):
        return MasterRing(read_master_key(text))
    try:
        data = json.loads(text)
    except ValueError:
        raise MasterKeyError("The ring of master keys is not valid JSON: it was changed or cut off.") from None
    if not isinstance(data, dict) or "active" not in data or not data.keys() <= _FIELDS:
        raise MasterKeyError('A ring of master keys has "active", "old" and "archive", and nothing else.')
    ring = MasterRing(
        _key(data["active"]), tuple(_keys(data.get("old", []), "old")), tuple(_keys(data.get("archive", []), "archive"))
    )
    ids = [key.id for key in (ring.active, *ring.old, *ring.archive)]
    if len(set(ids)) != len(ids):
        raise MasterKeyError("The ring holds the same master key twice.")
    return ring


def _keys(value: object, name: str) -> Iterator[MasterKey]:
    if not isinstance(value, list) or len(value) > _KEYS_MAX:
        raise MasterKeyError(f'"{name}" of the ring must be a list of master keys, at most {_KEYS_MAX}.')
    for item in value:
        yield _key(item)


def _key(value: object) -> MasterKey:
    if not isinstance(value, str):
        raise MasterKeyError("A master key of the ring must be text.")
    return read_master_key(value)
