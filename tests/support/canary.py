"""Secrets that are looked for afterwards, in every form in which a careless line of code could have written them."""

import base64
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote


def canary(kind: str) -> str:
    """Make a text that stands nowhere else."""
    return f"{kind}-canary-{secrets.token_hex(12)}"


def forms(text: str) -> Iterator[bytes]:
    """Give the text as plain bytes, hexadecimal, percent-encoded, in JSON's and Python's escapes, and in base64."""
    raw = text.encode()
    yield raw
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    yield quote(text, safe="").encode()
    yield "".join(f"%{byte:02X}" for byte in raw).encode()
    yield "".join(f"\\u{byte:04x}" for byte in raw).encode()
    yield text[::-1].encode()
    for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):  # what stands before it moves the letters; the first and last depend on neighbours
            coded = alphabet(b"\x00" * shift + raw)
            yield coded[(shift * 8 + 5) // 6 : -4]


def found(canaries: Mapping[str, str], places: Iterable[tuple[str, bytes]]) -> list[str]:
    """Give "canary in place" for each canary that stands in a place (name, bytes) in any form."""
    wanted = {name: tuple(forms(text)) for name, text in canaries.items()}
    return [
        f"{name} in {place}" for place, data in places for name, all_ in wanted.items() if any(f in data for f in all_)
    ]


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Give every file under a folder with its bytes; sockets have none."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes()
