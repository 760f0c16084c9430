"""The style sheets and scripts of the dashboard: read once, served from memory under names that change with them."""

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

FOLDER: Final = Path(__file__).with_name("static")
PREFIX: Final = "/dashboard/static/"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_HASH_CHARS: Final = 12


class StaticFile(Struct, frozen=True):
    """A file, with the address that names this content of it."""

    address: str
    content_type: str
    content: bytes


@functools.cache
def static_files() -> Mapping[str, StaticFile]:
    """Return all files by their plain names, such as dashboard.css."""
    return {path.name: _read(path) for path in sorted(FOLDER.iterdir()) if path.suffix in _TYPES}


@functools.cache
def by_address() -> Mapping[str, StaticFile]:
    """Return the same files by their addresses."""
    return {file.address: file for file in static_files().values()}


def static_address(name: str) -> str:
    """Return where a file is; raises KeyError for one that is not there."""
    return static_files()[name].address


def _read(path: Path) -> StaticFile:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:_HASH_CHARS]
    return StaticFile(f"{PREFIX}{path.stem}.{digest}{path.suffix}", _TYPES[path.suffix], content)
