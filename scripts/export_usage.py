#!/usr/bin/env python3
"""Export the ledger's usage as a file: `tollkeeper export` as a script of its own.

Runs from a checkout, or wherever the tollkeeper package is installed; export_usage.py --help lists the options.
"""

import os
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[1]


def _prepare() -> None:
    """Let the checkout around this file be imported, with the packages of its .venv where this Python lacks any."""
    if not (_CHECKOUT / "proxy" / "cli" / "export.py").is_file():
        return
    sys.path.insert(0, str(_CHECKOUT))
    lacking = _lacking()
    if not lacking:
        return
    own = _CHECKOUT / ".venv" / "bin" / "python"
    if own.exists() and Path(sys.executable) != own:
        os.execv(own, [str(own), str(Path(__file__).resolve()), *sys.argv[1:]])  # noqa: S606 - our own interpreter
    sys.exit(f"export_usage.py: this Python lacks {', '.join(lacking)}. Run scripts/setup once, then this again.")


def _lacking() -> list[str]:
    """Return what the program needs and this Python has not, or only too old. An older Python has to get as far, too.

    All packages are looked for: most are imported only where they are needed.
    """
    try:
        import tomllib  # noqa: PLC0415 - others have none
    except ModuleNotFoundError:
        return ["what Python 3.11 has"]
    project = tomllib.loads((_CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = [line.split(">=") for line in project["dependencies"] if ";" not in line]  # any platform's
    return [f"{name}>={least}" for name, least in needed if _numbers(_version(name)) < _numbers(least)]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall("[0-9]+", text)]


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
