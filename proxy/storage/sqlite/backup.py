"""Copy a ledger in use, as it is at one moment.

A read transaction holds that moment, and SQLite's backup API copies its pages in small steps: the writer goes on
meanwhile, and no file of the ledger is opened by hand (closing such a file would drop the owner's locks). The copy is
one file, 0600, and takes its name only when it is whole and was checked.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from proxy.core.errors import LedgerError, SetupError
from proxy.storage.reports import BackupError, BackupResult
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.exact_sum import exact_sum, join_sums

_PAGES = 1000  # 4 MB of a step: some milliseconds
_OWN_FILES = ("", "-wal", "-shm", "-journal", ".lock", ".sock")

Progress = Callable[[float], None]


def copy_ledger(source: Path, target: Path, *, force: bool = False, progress: Progress | None = None) -> BackupResult:
    """Copy source to target; blocks, so call it in a thread. progress is told the done part, 0 to 1.

    Raises LedgerError where the ledger cannot be read, BackupError where the copy cannot be written.
    """
    target = target.absolute()
    _check_target(source.absolute(), target, force=force)
    half = _make_half(target)
    try:
        try:
            _copy(source, half, progress)
        except sqlite3.DatabaseError as error:
            raise _failed(source, target, error) from None
        copied = _check(half, target)
        _give_name(half, target, force=force)
    finally:
        half.unlink(missing_ok=True)
        half.with_name(half.name + "-journal").unlink(missing_ok=True)
    return copied


def _check_target(source: Path, target: Path, *, force: bool) -> None:
    own = [source.resolve().with_name(source.resolve().name + ending) for ending in _OWN_FILES]
    if target.resolve() in own or any(_is_same(target, path) for path in own):
        raise BackupError(f"{target} belongs to the ledger itself. Choose another file.")
    if target.is_dir():
        raise BackupError(f"{target} is a folder. Name a file in it.")
    for path in (target, *_stale(target)):
        if not force and os.path.lexists(path):
            raise BackupError(f"{path} exists already. Choose another file, or replace it with --force.")


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False


def _stale(target: Path) -> list[Path]:
    """Return files of an older database of the same name, which SQLite would take for the copy's own."""
    return [target.with_name(target.name + ending) for ending in ("-wal", "-shm", "-journal")]


def _make_half(target: Path) -> Path:
    import tempfile  # noqa: PLC0415 - with shutil and archives, which no request needs

    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".half", dir=target.parent)
    except OSError as error:
        raise BackupError(f"{target} cannot be written ({error.strerror}).") from None
    os.close(descriptor)  # 0600, and not the ledger's file
    return Path(name)


def _copy(source: Path, half: Path, progress: Progress | None) -> None:
    def told(_status: int, remaining: int, total: int) -> None:
        if progress is not None and total:
            progress(1 - remaining / total)

    with closing(open_reader(source)) as reader, closing(sqlite3.connect(half, isolation_level=None)) as copy:
        reader.execute("BEGIN")
        reader.execute("SELECT 1 FROM requests LIMIT 1").fetchone()  # the moment that is copied: the first read
        reader.backup(copy, pages=_PAGES, progress=told, sleep=0)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, that can be read also where nothing can be written


_BOOKED = f"SELECT count(*), {exact_sum('cost_pusd')} FROM requests"  # noqa: S608 - constants
# without those of requests whose rows are gone
_ADJUSTED = (
    f"SELECT {exact_sum('amount_pusd')} FROM adjustments"  # noqa: S608 - constants
    " WHERE request_id IS NULL OR request_id IN (SELECT id FROM requests)"
)


def _check(half: Path, target: Path) -> BackupResult:
    with closing(sqlite3.connect(half, isolation_level=None)) as copy:
        try:
            found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
            requests, *costs = copy.execute(_BOOKED).fetchone()
            cost_pusd = join_sums(*costs) + join_sums(*copy.execute(_ADJUSTED).fetchone())
        except sqlite3.DatabaseError as error:
            found, requests, cost_pusd = str(error), 0, 0
    if found != "ok":
        raise LedgerError(
            f"The copy is damaged, so the ledger is too: {found}. See docs/concepts/ledger.md, 'A damaged file'."
        )
    return BackupResult(str(target), requests, cost_pusd, half.stat().st_size)


def _give_name(half: Path, target: Path, *, force: bool) -> None:
    try:
        _sync(half)
        if force:
            for path in _stale(target):
                path.unlink(missing_ok=True)
            half.replace(target)
        else:
            _name_new(half, target)
        if os.name == "posix":
            _sync(target.parent)
    except OSError as error:
        raise BackupError(f"{target} cannot be written ({error.strerror}).") from None


def _name_new(half: Path, target: Path) -> None:
    """Rename the copy to its final name, unless a file has that name by now."""
    try:
        os.link(half, target)
    except FileExistsError:
        raise BackupError(f"{target} exists already. Choose another file, or replace it with --force.") from None
    except OSError:  # a file system without links
        if target.exists():
            raise BackupError(f"{target} exists already. Choose another file.") from None
        half.replace(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(PermissionError):  # folders of some file systems
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failed(source: Path, target: Path, error: sqlite3.DatabaseError) -> SetupError:
    text = str(error)
    if "full" in text or "readonly" in text or "disk I/O" in text:
        return BackupError(f"{target} cannot be written: {text}.")
    return LedgerError(f"{source} cannot be read: {text}. tollkeeper audit tells more.")
