"""python -m tests.profiles: write docs/reference/providers.md, or play the matrix and print what differs from it."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from .cells import columns
from .page import page
from .stand import play_all
from .verdict import faults

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "providers.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.profiles", description=__doc__)
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--write", action="store_true", help="write docs/reference/providers.md")
    way.add_argument("--play", action="store_true", help="play every cell; exit code 1 where one differs")
    if parser.parse_args().write:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        played = asyncio.run(play_all(Path(folder), columns()))
    differing = 0
    for name, seen in played.items():
        found = faults(seen)
        differing += bool(found)
        for text in found:
            print(f"{name}: {text}")
    print(f"{len(played)} cells, {differing} differ")
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main())
