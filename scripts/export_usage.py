#!/usr/bin/env python3
"""Export the ledger's usage as a file: `tollkeeper export` as a script of its own.

Runs from a checkout, or wherever the tollkeeper package is installed; export_usage.py --help lists the options.
"""

import os
import sys
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[1]


def _prepare() -> None:
    """Let the checkout around this file be imported, with the packages of its .venv where this Python has none."""
    if not (_CHECKOUT / "proxy" / "cli" / "export.py").is_file():
        return
    sys.path.insert(0, str(_CHECKOUT))
    own = _CHECKOUT / ".venv" / "bin" / "python"
    try:
        import click  # noqa: F401, PLC0415 - looks whether the packages are there
        import pydantic  # noqa: F401, PLC0415
    except ModuleNotFoundError as error:
        if own.exists() and Path(sys.prefix).resolve() != own.parents[1].resolve():
            os.execv(own, [str(own), str(Path(__file__).resolve()), *sys.argv[1:]])  # noqa: S606 - our own interpreter
        sys.exit(f"export_usage.py: the package {error.name} is missing. Run scripts/setup once, then this again.")


def main() -> None:
    _prepare()
    from proxy.cli import run_program  # noqa: PLC0415 - after the path is set
    from proxy.cli.export import export  # noqa: PLC0415
    from proxy.core.pacer import Pacer  # noqa: PLC0415
    from proxy.core.process_priority import step_back  # noqa: PLC0415

    if (prompt := step_back()) is not None:
        prompt.call(Pacer(prompt).start)
    run_program(export, "export_usage.py")


if __name__ == "__main__":
    main()
