"""Which build of Tollkeeper runs: pure, or with the files that every request passes compiled (hatch_build.py)."""

import hashlib
import json
from pathlib import Path

from proxy.core import clock

_PACKAGE = Path(__file__).parents[1]
_STAMP = "compiled.json"  # of each compiled file its digest, as hatch_build.py has written it

IS_COMPILED = not clock.__file__.endswith(".py")


def changed_files() -> list[str]:
    """Return which files are no longer what the running modules were compiled from, such as "proxy/core/clock.py"."""
    if not IS_COMPILED:
        return []
    digests: dict[str, str] = json.loads((_PACKAGE / _STAMP).read_text())
    return [name for name, digest in digests.items() if _digest(_PACKAGE.parent / name) != digest]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
