"""Where the instructions of a plain request go: by room of the program, and by the library that executes them.

Python says which byte code is executed in which file, callgrind which instruction in which library; most of the byte
codes' instructions are in the interpreter's own, so the first table divides what the second has as Python.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import frames
import instructions
from machine import BenchError

COLUMNS = ("room", "byte codes", "%", "library", "instructions", "% of all")
_REQUESTS = 100  # a connection
_OBJECT = re.compile(r"ob=\((\d+)\)(?: (.*))?")
_COST = re.compile(r"[+\-*]?\d* (\d+)")
_LIBRARIES = (
    ("loop", "uvloop"),
    ("_http_parser", "aiohttp's parser"),
    ("parser", "httptools"),
    ("orjson", "orjson"),
    ("_multidict", "multidict"),
    ("sqlite", "SQLite"),
    ("libc", "libc"),
    ("libpthread", "libc"),
    ("ssl", "OpenSSL"),
    ("crypto", "OpenSSL"),
    ("python3", "CPython"),  # the program itself, or libpython; extension modules are named cpython-3…
)


def by_room(codes: Iterable[tuple[str, str]]) -> Counter[str]:
    """Count byte codes by folder below proxy/; a file of the top level stands for itself."""
    return Counter(file.rpartition("/")[0] or file for file, _ in codes)


def by_library(profile: Iterable[str]) -> Counter[str]:
    """Count a callgrind profile's instructions by library; the line behind calls= repeats what stands elsewhere."""
    names: dict[str, str] = {}
    found: Counter[str] = Counter()
    library, repeated = "", False
    for line in profile:
        if line.startswith(("ob=", "cob=")):
            match = _OBJECT.fullmatch(line.removeprefix("c"))
            if match is None:
                raise BenchError(f"callgrind's profile has a line that is not known: {line}")
            if match[2]:
                names[match[1]] = match[2]
            if line.startswith("ob="):
                library = _library(names[match[1]])
        elif line.startswith("calls="):
            repeated = True
        elif (match := _COST.fullmatch(line)) is not None:
            found[library] += 0 if repeated else int(match[1])
            repeated = False
    return found


def _library(path: str) -> str:
    file = Path(path).name.lower().partition(".cpython-")[0]
    return next((name for word, name in _LIBRARIES if word in file), file or "other")


def measure(folder: Path, cores: tuple[int, int], say: Callable[[str], None]) -> tuple[Counter[str], Counter[str]]:
    """Return the byte codes of a request by room, and its instructions by library, both of the event loop."""
    say("following byte codes")
    (folder / "codes").mkdir()
    rooms = by_room(asyncio.run(frames.codes(folder / "codes")).frames)
    profile, requests = instructions.profile_of(folder, cores, say, _REQUESTS)
    counted = by_library(profile)
    return rooms, Counter({name: count // requests for name, count in counted.items()})


def rows(rooms: Counter[str], libraries: Counter[str]) -> list[tuple[str, ...]]:
    """Return both tables side by side, one cell for each of COLUMNS."""
    left = [(room, f"{count:,}", _share(count, rooms)) for room, count in rooms.most_common()]
    right = [(name, f"{count:,}", _share(count, libraries)) for name, count in libraries.most_common() if count]
    left = [("together", f"{rooms.total():,}", ""), *left]
    right = [("together", f"{libraries.total():,}", ""), *right]
    empty = ("", "", "")
    length = max(len(left), len(right))
    left, right = left + [empty] * (length - len(left)), right + [empty] * (length - len(right))
    return [(*one, *other) for one, other in zip(left, right, strict=True)]


def _share(count: int, all_: Counter[str]) -> str:
    return f"{count * 100 / all_.total():.1f}"
