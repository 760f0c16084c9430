"""What changes the master key: each step whole, and what a crash leaves half way is gone on with."""

from typing import NamedTuple, Protocol

from proxy.policy.sealing.master_ring import MasterRing
from proxy.storage.audit import Actor


class ResealedBatch(NamedTuple):
    """One step of a rotation. last_id: where the next one begins, None after the last value."""

    resealed: int
    last_id: int | None


class MasterKeyStore(Protocol):
    """The steps that change the master key; who took one, and when, goes to the audit trail."""

    def make(self, now_ms: int, actor: Actor) -> None:
        """Make the master key; raises UserError where there is one, or where sealed values need another."""
        ...

    def bring_back(self, now_ms: int, actor: Actor, ring: MasterRing, *, replace: bool) -> None:
        """Put a ring in the file; raises UserError for one that opens nothing, or where another one is there.

        replace: all the same; the keys that were there stay in the archive.
        """
        ...

    def export(self, now_ms: int, actor: Actor) -> MasterRing:
        """Return the ring, for a copy; raises UserError where there is none."""
        ...

    def begin_rotation(self, now_ms: int, actor: Actor, *, resume: bool, forget: bool) -> bool:
        """Put a new master key before the others, which still open; return whether an earlier rotation goes on.

        resume: make no new one, but take in values of retired keys. forget: it is enough that there are retired keys.
        """
        ...

    def reseal(self, after_id: int) -> ResealedBatch:
        """Seal some values anew, those that follow one; what does not open stays as it is."""
        ...

    def end_rotation(self, now_ms: int, actor: Actor, *, forget: bool) -> None:
        """Retire the older keys; raises UserError while a value needs one. forget: remove retired ones for good."""
        ...
