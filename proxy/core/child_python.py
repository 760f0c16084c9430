"""A module of this package as a process of its own: the same package, whatever lies in the folder people are in."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_HOME = Path(__file__).parents[2]
# what Python, SQLite and their libraries look at; TEMP and SYSTEMROOT are Windows'
_NEEDED = frozenset(
    {
        *("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "SQLITE_TMPDIR", "SYSTEMROOT"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV"),
    }
)


def child_command(module: str, *arguments: str) -> list[str]:
    """Return the command. -P: a struct.py or proxy/ of the current folder is neither imported nor run."""
    return [sys.executable, "-P", "-m", module, *arguments]


def background_command(module: str, *arguments: str) -> list[str]:
    """Return the command of one that gives way to all other processes."""
    return child_command("proxy.core.background", module, *arguments)


def child_environ() -> Mapping[str, str]:
    """Return the environment of it, by which it finds the package where it is not installed, too."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(_HOME), os.environ.get("PYTHONPATH"))))}


def bare_environ() -> Mapping[str, str]:
    """Return the environment for one that works for a proxy: without the keys of providers that may be in ours.

    On Linux others of the same user can read it, which they cannot of the proxy (core/core_dumps.py).
    """
    return {
        name: value
        for name, value in child_environ().items()
        if name.upper() in _NEEDED or name.startswith(("PYTHON", "LC_"))
    }
