"""Where the master key comes from, and the ring of them as it was read last.

A file beside the ledger, the environment or systemd's credentials; where several have one they must agree. Only the
file is ever written: whole or not at all, with mode 0600, on disk before it is used.
"""

import contextlib
import os
import secrets
import stat
import threading
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from proxy.core.secret import Secret
from proxy.policy.sealing.master_key import KEY_BYTES, MasterKey, MasterKeyError
from proxy.policy.sealing.master_ring import MasterRing, read_ring
from proxy.policy.sealing.place import Place
from proxy.policy.sealing.record import UnsealError, unseal

VARIABLE = "TOLLKEEPER_MASTER_KEY"
CREDENTIAL = "tollkeeper-master-key"
_FILE_MAX_BYTES = 1 << 16
_OPEN_TO_OTHERS = 0o077
_MOUNTS = (Path("/run/secrets"), Path("/var/run/secrets"))  # of containers, whose modes are theirs: nobody else is in


class MasterKeySources(Struct, frozen=True):
    """Where a master key may stand: a file of ours, a text of the environment, a file that systemd has put there."""

    file: Path
    variable: Secret | None = None
    credential: Path | None = None


def master_key_sources(database: Path, file: Path | None, environ: Mapping[str, str]) -> MasterKeySources:
    """Return the sources of a database. file: that of the settings, None: beside the database."""
    text, folder = environ.get(VARIABLE), environ.get("CREDENTIALS_DIRECTORY")
    return MasterKeySources(
        file or database.with_name(f"{database.name}.master-key"),
        Secret(text) if text else None,
        Path(folder) / CREDENTIAL if folder else None,
    )


class MasterKeys:
    """The ring in force; any thread may ask. It is read when it is first needed, and again for an unknown key."""

    def __init__(self, sources: MasterKeySources) -> None:
        self._sources = sources
        self._lock = threading.Lock()
        self._ring: MasterRing | None = None

    @property
    def file(self) -> Path:
        return self._sources.file

    def ring(self) -> MasterRing | None:
        """Return the ring as it was read last; None where there is none. Raises MasterKeyError."""
        with self._lock:
            if self._ring is None:
                self._ring = self._read()
            return self._ring

    def read(self) -> MasterRing | None:
        """Return the ring as it is now; None where there is none. Raises MasterKeyError, and keeps the last."""
        with self._lock:
            found = self._read()
            self._ring = found or self._ring
            return found

    def unseal(self, record: str, place: Place, version: int, salt: bytes) -> Secret:
        """Return the value of a record; raises UnsealError. A key that is not known may have come since the last look.

        What the ring lacks is looked for once more, so that a rotation by another process needs no restart.
        """
        try:
            ring = self.ring()
            if ring is not None and salt:
                return unseal(record, place, version, ring=ring, salt=salt)
        except MasterKeyError as error:
            raise UnsealError("unknown_key", f"the master key cannot be read: {error}") from None
        except UnsealError as error:
            if error.reason not in ("unknown_key", "retired_key"):
                raise
            unopened = error
        else:
            unopened = UnsealError("unknown_key", "there is no master key")
        try:
            fresh = self.read()
        except MasterKeyError as error:
            raise UnsealError("unknown_key", f"{unopened}; {error}", unopened.master_key_id) from None
        if fresh is None or fresh == ring or not salt:
            raise unopened
        return unseal(record, place, version, ring=fresh, salt=salt)

    def make(self) -> MasterRing:
        """Make a master key in the file, which must not exist; return the ring. Raises MasterKeyError."""
        return self.create(MasterRing(MasterKey(secrets.token_bytes(KEY_BYTES))))

    def create(self, ring: MasterRing) -> MasterRing:
        """Write a ring to the file, which must not exist; raises MasterKeyError."""
        with self._lock:
            _check_folder(self.file)
            _write(self.file, ring.as_text(), replace=False)
            self._ring = ring
            return ring

    def replace(self, ring: MasterRing) -> None:
        """Write another ring to the file; raises MasterKeyError, with the ring before still whole."""
        with self._lock:
            self._check_writable()
            _write(self.file, ring.as_text(), replace=True)
            self._ring = ring

    def check_writable(self) -> None:
        """Raise MasterKeyError where the ring comes from somewhere that cannot be written."""
        with self._lock:
            self._check_writable()

    def where(self) -> list[str]:
        """Return the sources that hold a ring now, in words."""
        with self._lock:
            return [where for where, text in self._texts() if text is not None]

    def _check_writable(self) -> None:
        others = [where for where, text in self._texts() if text is not None and where != str(self.file)]
        if others:
            raise MasterKeyError(
                f"The master key is in {' and in '.join(others)}, which Tollkeeper cannot write. Write it"
                f" as the only line into {self.file} (mode 0600), take it out there, and try again."
            )
        _check_folder(self.file)

    def _texts(self) -> list[tuple[str, str | None]]:
        """Return what each source holds, the writable one first; raises MasterKeyError for one that is not safe."""
        sources = self._sources
        found: list[tuple[str, str | None]] = [(str(sources.file), _read_private(sources.file))]
        if sources.variable is not None:
            found.append((f"the environment ({VARIABLE})", sources.variable.reveal()))
        if sources.credential is not None:
            found.append((str(sources.credential), _read_whole(sources.credential)))
        return found

    def _read(self) -> MasterRing | None:
        rings: list[tuple[str, MasterRing]] = []
        for where, text in self._texts():
            if text is not None:
                try:
                    rings.append((where, read_ring(text)))
                except MasterKeyError as error:
                    raise MasterKeyError(f"{where}: {error}") from None
        if not rings:
            return None
        (first_place, first), *others = rings
        for where, ring in others:
            if ring.active != first.active:
                raise MasterKeyError(
                    f"{first_place} holds master key {first.active.id}, {where} another one, {ring.active.id}."
                    " Take away the one that is wrong: tollkeeper keys list tells which one the values need."
                )
        return max((ring for _, ring in rings), key=lambda ring: len(ring.old))


def keys_beside(database: Path) -> MasterKeys:
    """Return the master keys of a database whose file stands beside it."""
    return MasterKeys(master_key_sources(database, None, {}))


def _check_folder(path: Path) -> None:
    """Raise MasterKeyError for a folder in which anybody could put a key in the file's place."""
    if os.name != "posix":
        return
    try:
        mode = path.parent.stat().st_mode
    except OSError as error:
        raise MasterKeyError(f"{path.parent}: {error.strerror}. The master key is kept there.") from None
    if mode & stat.S_IWOTH:
        raise MasterKeyError(
            f"{path.parent} can be written by everybody, so {path.name} is not safe there. Run: chmod o-w {path.parent}"
        )


def _read_private(path: Path) -> str | None:
    """Return what a file holds that only we may read; None where there is none. Raises MasterKeyError."""
    try:
        real = path.resolve(strict=True)
        if real.parent != path.parent.resolve():
            raise MasterKeyError(f"{path} is a link out of its folder, to {real}. Put the file itself there.")
        descriptor = os.open(real, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MasterKeyError(f"{path} cannot be read: {error.strerror}.") from None
    with os.fdopen(descriptor, "rb") as file:
        _check_folder(path)
        _check_mode(path, os.fstat(file.fileno()))
        return _text(path, file.read(_FILE_MAX_BYTES + 1))


def _check_mode(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise MasterKeyError(f"{path} is not a regular file.")
    if os.name != "posix":
        return
    if found.st_uid not in (os.geteuid(), 0):
        raise MasterKeyError(f"{path} belongs to another user (uid {found.st_uid}). Make it your own: chown.")
    if found.st_mode & _OPEN_TO_OTHERS and not any(path.absolute().is_relative_to(mount) for mount in _MOUNTS):
        raise MasterKeyError(f"{path} is open to others (mode {found.st_mode & 0o777:04o}). Run: chmod 600 {path}")


def _read_whole(path: Path) -> str | None:
    """Return what a credential of systemd holds, whose mode is systemd's own; None where there is none."""
    try:
        with path.open("rb") as file:
            return _text(path, file.read(_FILE_MAX_BYTES + 1))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MasterKeyError(f"{path} cannot be read: {error.strerror}.") from None


def _text(path: Path, raw: bytes) -> str:
    if len(raw) > _FILE_MAX_BYTES:
        raise MasterKeyError(f"{path} is not a master key: it is larger than 64 KiB.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MasterKeyError(f"{path} is not a master key: it is not text.") from None


def _write(path: Path, text: str, *, replace: bool) -> None:
    """Put a whole file of mode 0600 on disk; raises MasterKeyError, and then the file is as it was."""
    half = path.with_name(f".{path.name}.half")  # one name: what a crash left is written over
    try:
        with contextlib.suppress(FileNotFoundError):
            half.unlink()
        descriptor = os.open(half, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if not replace and path.exists():
                raise MasterKeyError(f"{path} exists already. Nothing was changed.")
            half.replace(path)
        finally:
            half.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise MasterKeyError(f"{path} cannot be written: {error.strerror}. Nothing was changed.") from None


def _sync_folder(folder: Path) -> None:
    """Put a change of names on disk; Windows cannot, and keeps them in its journal."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
