"""One process owns a ledger file.

Fails closed: a second owner is refused with the name of the first. The lock is held on a file beside the ledger,
because closing any descriptor of the ledger itself would drop SQLite's own locks.
"""

import os
import socket
import sys
from pathlib import Path

from proxy.core.errors import LedgerError

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _read_owner(descriptor: int) -> str:
    os.lseek(descriptor, 1, os.SEEK_SET)
    return os.read(descriptor, 200).decode(errors="replace").strip() or "another process"


class OwnerLock:
    """The exclusive right to write one ledger; freed by the system when the process ends, however it ends."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".lock")
        self._database = database
        self._descriptor: int | None = None

    def acquire(self, purpose: str) -> None:
        """Acquire the lock or raise LedgerError that names the owner. purpose: what the next one who tries reads."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LedgerError(
                f"{self.path}: cannot be opened ({error.strerror}). The ledger's folder must exist and be writable."
            ) from None
        if not _try_lock(descriptor):
            owner = _read_owner(descriptor)
            os.close(descriptor)
            raise LedgerError(
                f"{self._database} is in use by {owner}. One process owns a ledger: stop it, or give this one"
                " another file (database: in the configuration)."
            )
        try:
            # byte 0 stays out of the text: on Windows it is the locked one, which others cannot read
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f" {purpose}, process {os.getpid()} on {socket.gethostname()}\n".encode())
        except OSError as error:
            os.close(descriptor)
            raise LedgerError(
                f"{self.path} cannot be written: {error.strerror}. Free space on its disk, or check it for errors."
            ) from None
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            _unlock(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
