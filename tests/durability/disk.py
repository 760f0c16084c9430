"""What a disk may hold after the power was cut: all that was synced, and of the rest anything; no I/O here.

An unsynced write may be missing, be there in part (torn at sectors of 512 bytes), hold garbage within the range that
was being written, or have come before an earlier one. Entries of the folder are held apart from the contents of files.
Bytes outside the range of a write stay as they were, which SQLite takes for granted too (powersafe overwrite).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from .recorder import Acknowledged, Create, Delete, Note, Sync, Truncate, Write

SECTOR_BYTES = 512


@dataclass(slots=True, eq=False)
class _Content:
    """One file's bytes: those that are safe, and what was done since they were."""

    safe: bytearray = field(default_factory=bytearray)
    unsafe: list[Write | Truncate] = field(default_factory=list)

    def sync(self) -> None:
        for change in self.unsafe:
            _apply(self.safe, change)
        self.unsafe.clear()


def _apply(content: bytearray, change: Write | Truncate) -> None:
    if isinstance(change, Truncate):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
        return
    if len(content) < change.offset:
        content.extend(bytes(change.offset - len(content)))  # a hole reads as zeros
    content[change.offset : change.offset + len(change.data)] = change.data


class Disk:
    """Follows the notes of a recorder; left_by_cut() draws one of the states that a cut at this point may leave."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._seen = {name: _Content(bytearray(data)) for name, data in files.items()}
        self._safe: dict[str, _Content] = dict(self._seen)
        self._unsafe: list[tuple[str, _Content | None]] = []

    def follow(self, note: Note) -> None:
        match note:
            case Create(name):
                self._enter(name, _Content())
            case Delete(name, folder):
                self._enter(name, None)
                if folder:
                    self._sync_folder()
            case Write(name) | Truncate(name):
                self._seen[name].unsafe.append(note)
            case Sync(name, folder):
                self._seen[name].sync()
                if folder:
                    self._sync_folder()
            case Acknowledged():
                pass

    def _enter(self, name: str, content: _Content | None) -> None:
        self._unsafe.append((name, content))
        if content is None:
            self._seen.pop(name, None)
        else:
            self._seen[name] = content

    def _sync_folder(self) -> None:
        self._safe = dict(self._seen)
        self._unsafe.clear()

    def left_by_cut(self, rng: Random) -> dict[str, bytes]:
        """Give name -> bytes of every file. All at once: nothing unsynced, everything, or each change by chance."""
        whole = rng.choices(("by chance", "nothing", "everything", "in order"), (6, 1, 1, 2))[0]
        entries = dict(self._safe)
        for name, content in self._entered(rng, whole):
            if content is None:
                entries.pop(name, None)
            else:
                entries[name] = content
        return {name: bytes(_drawn(content, rng, whole)) for name, content in entries.items()}

    def _entered(self, rng: Random, whole: str) -> Iterator[tuple[str, _Content | None]]:
        """Give the changes of the folder that came through: for each name a first part of them."""
        stopped: set[str] = set()
        for name, content in self._unsafe:
            if whole == "nothing" or (whole != "everything" and rng.random() < 0.4):
                stopped.add(name)
            if name not in stopped:
                yield name, content


def _drawn(content: _Content, rng: Random, whole: str) -> bytearray:
    result = bytearray(content.safe)
    for change in _came_through(content.unsafe, rng, whole):
        _apply(result, change)
    return result


def _came_through(unsafe: list[Write | Truncate], rng: Random, whole: str) -> list[Write | Truncate]:
    if whole == "nothing" or not unsafe:
        return []
    if whole == "everything":
        return unsafe
    if whole == "in order":  # as a disk with a queue would: the last one may be torn
        count = rng.randrange(len(unsafe) + 1)
        torn = _sectors(unsafe[count]) if count < len(unsafe) else []
        return [*unsafe[:count], *torn[: rng.randrange(len(torn) + 1)]]
    likely = rng.random()
    pieces = [piece for change in unsafe for piece in _sectors(change) if rng.random() < likely]
    if rng.random() < 0.5:
        rng.shuffle(pieces)
    if rng.random() < 0.3:
        pieces = [_garbled(piece, rng) if rng.random() < 0.1 else piece for piece in pieces]
    return pieces


def _sectors(change: Write | Truncate) -> list[Write | Truncate]:
    if isinstance(change, Truncate):
        return [change]
    pieces: list[Write | Truncate] = []
    at, end = change.offset, change.offset + len(change.data)
    while at < end:
        until = min(end, (at // SECTOR_BYTES + 1) * SECTOR_BYTES)
        pieces.append(Write(change.name, at, change.data[at - change.offset : until - change.offset]))
        at = until
    return pieces


def _garbled(change: Write | Truncate, rng: Random) -> Write | Truncate:
    return (
        change if isinstance(change, Truncate) else Write(change.name, change.offset, rng.randbytes(len(change.data)))
    )
