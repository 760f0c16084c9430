"""How a read begins that is one whole chunk of HTTP/1.1, from its size to the line end behind its payload."""

from typing import Final

from proxy.core.name_cache import NameCache

_SIZES_MAX: Final = 2048  # reads of so many different lengths are kept
_NO_HEAD: Final = b"\r\n"  # nothing that is a chunk begins with it


def _chunk_head(size_bytes: int) -> bytes:
    """Return the line that names the payload's size, in the plainest form, for a read of so many bytes."""
    for digits in range(1, 9):
        head = b"%x\r\n" % max(0, size_bytes - digits - 4)
        if len(head) == digits + 2:
            return head if size_bytes > digits + 4 else _NO_HEAD
    return _NO_HEAD


chunk_heads: Final = NameCache(_chunk_head, _SIZES_MAX)


def is_one_chunk(read: bytes, payload: bytes) -> bool:
    """Return whether a read, of which a parser found this payload in one piece, is one whole chunk.

    Then the parser stands between two. Had it been within a chunk before, what looks like the size would have been
    payload, with its line end; had it been within the digits of a size, so would have been the line end at the end.
    """
    head = chunk_heads[len(read)]
    return (
        len(payload) > 1
        and read[: len(head)] == head
        and read[len(head) : -2] == payload
        and read[-2:] == b"\r\n"
        and payload.find(b"\r") < 0
    )
