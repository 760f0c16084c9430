"""A module of this package as a process of its own: the same package, whatever lies in the folder people are in."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_HOME = Path(__file__).parents[2]


def child_command(module: str, *arguments: str) -> list[str]:
    """Return the command. -P: a struct.py or proxy/ of the current folder is neither imported nor run."""
    return [sys.executable, "-P", "-m", module, *arguments]


def child_environ() -> Mapping[str, str]:
    """Return the environment of it, by which it finds the package where it is not installed, too."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(_HOME), os.environ.get("PYTHONPATH"))))}
