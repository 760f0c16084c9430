"""A VFS of apsw that notes every write, sync, creation and deletion before the system carries it out.

The files are real ones, so that the shared memory of the WAL works as ever; what a power cut would leave of them is
drawn from the notes (disk.py).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import apsw

_numbers = itertools.count()  # apsw registers a VFS by name for the whole process
_JOURNALS = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL


@dataclass(frozen=True, slots=True)
class Create:
    name: str


@dataclass(frozen=True, slots=True)
class Write:
    name: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """folder: the file's entry in its folder is made durable too, as SQLite's unix VFS does for new journals."""

    name: str
    folder: bool


@dataclass(frozen=True, slots=True)
class Delete:
    name: str
    folder: bool


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The caller was told that its commit with this number has ended."""

    commit: int


Note = Create | Write | Truncate | Sync | Delete | Acknowledged


class Recorder(apsw.VFS):
    """Notes what happens to the files that are opened through it; use as a context, connect with vfs=name."""

    def __init__(self) -> None:
        self.name = f"recorder-{next(_numbers)}"
        self.notes: list[Note] = []
        super().__init__(self.name, base="")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.unregister()

    def acknowledge(self, commit: int) -> None:
        self.notes.append(Acknowledged(commit))

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _File:  # noqa: N802 - SQLite's name
        return _File(name, flags, self.notes)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        self.notes.append(Delete(Path(filename).name, syncdir))
        super().xDelete(filename, syncdir)


class _File(apsw.VFSFile):
    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int], notes: list[Note]) -> None:
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else str(name))
        self._name = path.name
        self._notes = notes
        created = bool(flags[0] & apsw.SQLITE_OPEN_CREATE)
        self._sync_folder = created and bool(flags[0] & _JOURNALS)
        new = created and not path.exists()
        super().__init__("", name, flags)
        if new:
            notes.append(Create(self._name))

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._notes.append(Write(self._name, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        self._notes.append(Truncate(self._name, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        super().xSync(flags)
        self._notes.append(Sync(self._name, self._sync_folder))
        self._sync_folder = False
