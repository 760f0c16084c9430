"""Files that only their owner may read: configuration, keys, tokens."""

import os
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write a file as a whole or not at all, with mode 0600. Raises OSError."""
    half = path.with_name(f".{path.name}.{os.getpid()}.half")
    half.unlink(missing_ok=True)
    try:
        half.touch(mode=0o600, exist_ok=False)
        half.write_text(text, encoding="utf-8")
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
