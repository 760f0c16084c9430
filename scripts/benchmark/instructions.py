"""Instructions a request, counted by valgrind's callgrind: a figure that hardly moves, however busy the machine is.

It tells what a change of the code costs; what the machine makes of it, the other figures tell.
"""

import http.client
import itertools
import json
import platform
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from machine import BenchError
from systems import JSON_ROUTE, Tollkeeper, Upstream
from upstream import JSON_MODEL, paced_model

_CONNECTIONS = 16
_WARM_UP = 40  # requests a connection: CPython has specialised its byte code by then
_REQUESTS = 100  # a connection
_STREAMS = 2  # of each length, and as many before them
# Events, how many of them together, and the time between two reads: much more than callgrind takes for one.
KINDS = {"a chunk, alone": (200, 1, 4), "a chunk, 20 in a read": (1000, 20, 16)}
ENDS = "a stream's begin and end"
_ENDS_PACE = (10, 1, 4)  # of the shorter streams; the longer ones have twice as many events
_ENDS_STREAMS = 20
_NUMBERS = itertools.count()
_HELLO = "Hello, how are you today? " * 75
_RULES = {watch: {"watch": watch} for watch in ("error_rate", "latency_p95", "fallback_rate", "repeats", "limit_share")}
_COST = re.compile(r"[+\-*]?\d* (\d+)")  # a line of a profile: where, relative to the line before, and how many


class Instructions(NamedTuple):
    """A request's, by thread: the event loop's, and those of all others: the ledger's writer and the access log's."""

    loop: int
    writer: int


class Counted(Tollkeeper):
    """Tollkeeper inside callgrind, which counts once it is told to."""

    start_max_s = 240  # callgrind takes fifty times as long, and the count does not depend on it
    _dumps = 0

    @property
    def profile(self) -> Path:
        return self.folder / "callgrind.out"

    def command(self) -> list[str]:
        options = ("--instr-atstart=no", "--separate-threads=yes", f"--callgrind-out-file={self.profile}")
        return ["valgrind", "--tool=callgrind", *options, *super().command()]

    def count(self, on: str) -> None:
        """Begin or end counting: "on" or "off"."""
        self._control("-i", on)

    def dump(self) -> Path:
        """Write what was counted since the last dump; return the beginning of the files' names, one a thread."""
        self._control("-d")
        self._dumps += 1
        return self.profile.with_name(f"{self.profile.name}.{self._dumps}")

    def _control(self, *what: str) -> None:
        ran = subprocess.run(["callgrind_control", *what, str(self.pid)], capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            raise BenchError(f"callgrind_control failed with {ran.returncode}:\n{ran.stderr or ran.stdout}")


def require_valgrind() -> None:
    if platform.system() != "Linux":
        raise BenchError("Counting pins processes to cores: it runs on Linux only.")
    packages = {"valgrind": "valgrind", "taskset": "util-linux"}
    missing = [package for tool, package in packages.items() if not shutil.which(tool)]
    if missing:
        raise BenchError(f"Missing on this machine. On Debian and Ubuntu:  apt-get install {' '.join(missing)}")


def measure(
    folder: Path, cores: tuple[int, int], say: Callable[[str], None], requests: int = _REQUESTS
) -> dict[str, Instructions]:
    """Give the figures by kind of user; a folder each is made in folder. cores: the proxy's, and that of the rest."""
    return {
        "no limits": _measured(folder / "plain", cores, say, requests),
        "five limits": _measured(folder / "limited", cores, say, requests, limited=True),
        "no limits, alerts": _measured(folder / "alerts", cores, say, requests, rules=_RULES),
        "route of two": _measured(folder / "route", cores, say, requests, model=JSON_ROUTE),
    }


def profile_of(
    folder: Path, cores: tuple[int, int], say: Callable[[str], None], requests: int
) -> tuple[list[str], int]:
    """Return the lines of the event loop's profile of plain requests, and how many requests they are of."""
    say("counting instructions: no limits")
    folder = folder / "profile"
    folder.mkdir()
    upstream = Upstream(folder, cores[1], events=1, interval_ms=1)
    upstream.start()
    ours = Counted(folder / "ours", cores[0], upstream.port)
    try:
        ours.start()
        _ask(ours.port, ours.token, _WARM_UP)
        ours.count("on")
        _ask(ours.port, ours.token, requests)
        ours.count("off")
        dumped = ours.dump()
        first = min(dumped.parent.glob(f"{dumped.name}-*"))
        return first.read_text().splitlines(), requests * _CONNECTIONS
    finally:
        try:
            ours.stop()
        finally:
            upstream.stop()


def steps(*, chunks: bool) -> int:
    """Return how often measure_once says what it does; 0 where this machine cannot count."""
    if platform.system() != "Linux" or not shutil.which("valgrind"):
        return 0
    return 4 + (2 + len(KINDS) if chunks else 0)


def measure_once(
    folder: Path, cores: tuple[int, int], say: Callable[[str], None], requests: int, *, chunks: bool
) -> dict[str, int]:
    """Return the event loop's instructions by kind of request, all counted in one process.

    With chunks those of an event of a stream and of a stream's ends, too, and of a request with one limit.
    """
    folder = folder / "counted"
    folder.mkdir()
    upstream = Upstream(folder, cores[1], events=1, interval_ms=1)
    upstream.start()
    ours = Counted(folder / "ours", cores[0], upstream.port)
    asked = {
        "no limits": (ours.token, JSON_MODEL),
        "five limits": (ours.limited_token, JSON_MODEL),
        "route of two": (ours.token, JSON_ROUTE),
    }
    if chunks:
        asked["one limit"] = ours.single_token, JSON_MODEL
    found: dict[str, int] = {}
    try:
        say("starting inside callgrind")
        ours.start()
        for kind, (token, model) in asked.items():
            say(f"counting instructions: {kind}")
            _ask(ours.port, token, _WARM_UP, model)
            ours.count("on")
            _ask(ours.port, token, requests, model)
            ours.count("off")
            found[kind] = _totals(ours.dump())[0] // (requests * _CONNECTIONS)
        for kind, pace in KINDS.items() if chunks else ():
            say(f"counting instructions: {kind}")
            found[kind] = _of_chunk(ours, *pace)
        if chunks:
            say(f"counting instructions: {ENDS}")
            found[ENDS] = _of_ends(ours)
    finally:
        try:
            ours.stop()
        finally:
            upstream.stop()
    return found


def measure_chunks(
    folder: Path, cores: tuple[int, int], say: Callable[[str], None], kinds: Mapping[str, tuple[int, int, int]] = KINDS
) -> dict[str, int]:
    """Return the event loop's instructions for each event more of a stream, for those that come alone or together.

    A stream of twice as many events is held against one of so many: what both ends of a stream take is in neither, and
    stands by itself (ENDS).
    """
    folder = folder / "chunks"
    folder.mkdir()
    upstream = Upstream(folder, cores[1], events=1, interval_ms=1)
    upstream.start()
    ours = Counted(folder / "ours", cores[0], upstream.port)
    found: dict[str, int] = {}
    try:
        ours.start()
        for kind, pace in kinds.items():
            say(f"counting instructions: {kind}")
            found[kind] = _of_chunk(ours, *pace)
        say(f"counting instructions: {ENDS}")
        found[ENDS] = _of_ends(ours)
    finally:
        try:
            ours.stop()
        finally:
            upstream.stop()
    return found


def _of_ends(ours: Counted) -> int:
    """Return what a stream takes beside its events, each of which costs as much as one more does."""
    events, *pace = _ENDS_PACE
    once, twice = (_of_stream(ours, paced_model(many, *pace), _ENDS_STREAMS) for many in (events, 2 * events))
    return (2 * once - twice) // _ENDS_STREAMS


def _of_chunk(ours: Counted, events: int, together: int, interval_ms: int) -> int:
    once, twice = (_of_stream(ours, paced_model(many, together, interval_ms)) for many in (events, 2 * events))
    return (twice - once) // (events * _STREAMS)


def _of_stream(ours: Counted, model: str, streams: int = _STREAMS) -> int:
    """Return the event loop's instructions for some streams of a model, one after the other over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", ours.port, timeout=60)
    headers = {"Authorization": f"Bearer {ours.token}", "Content-Type": "application/json"}

    def ask() -> None:
        for _ in range(streams):
            messages = [{"role": "user", "content": f"{_HELLO}{next(_NUMBERS):8}"}]
            chat = {"model": model, "stream": True, "messages": messages, "max_tokens": 400}
            connection.request("POST", "/v1/chat/completions", json.dumps(chat).encode(), headers)
            answered = connection.getresponse().read()
            if not answered.endswith(b"data: [DONE]\n\n"):
                raise BenchError(f"a stream ended with {answered[-300:]!r}")

    try:
        ask()
        ours.count("on")
        ask()
        ours.count("off")
    finally:
        connection.close()
    return _totals(ours.dump())[0]


def _measured(
    folder: Path,
    cores: tuple[int, int],
    say: Callable[[str], None],
    requests: int,
    *,
    limited: bool = False,
    model: str = JSON_MODEL,
    rules: Mapping[str, object] | None = None,
) -> Instructions:
    say(f"counting instructions: {folder.name}")
    folder.mkdir()
    upstream = Upstream(folder, cores[1], events=5, interval_ms=1)
    upstream.start()
    ours = Counted(folder / "ours", cores[0], upstream.port)
    if rules:
        ours.config.write_text(f"{ours.config.read_text()}\nalerts: {json.dumps({'rules': rules})}\n")
    try:
        ours.start()
        token = ours.limited_token if limited else ours.token
        _ask(ours.port, token, _WARM_UP, model)
        ours.count("on")
        _ask(ours.port, token, requests, model)
        ours.count("off")
    finally:
        try:
            ours.stop()  # it writes its profiles now
        finally:
            upstream.stop()
    totals = _totals(ours.profile)
    each = requests * _CONNECTIONS
    return Instructions(totals[0] // each, sum(totals[1:]) // each)


def _totals(profile: Path) -> list[int]:
    """Return the instructions by thread, the event loop's first."""
    files = sorted(profile.parent.glob(f"{profile.name}-*"))
    if not files:
        raise BenchError(f"callgrind left no profile in {profile.parent}")
    return [total(file.read_text().splitlines()) for file in files]


def total(profile: Iterable[str]) -> int:
    """Sum the costs of a callgrind profile; the line behind calls= repeats what stands elsewhere already."""
    found = 0
    repeated = False
    for line in profile:
        if line.startswith("calls="):
            repeated = True
        elif (match := _COST.fullmatch(line)) is not None:
            found += 0 if repeated else int(match[1])
            repeated = False
    return found


def _ask(port: int, token: str, requests: int, model: str = JSON_MODEL) -> None:
    """Have so many requests answered over each connection; all connections are busy at once."""
    faults: list[str] = []
    lines = [threading.Thread(target=_line, args=(port, token, requests, model, faults)) for _ in range(_CONNECTIONS)]
    for line in lines:
        line.start()
    for line in lines:
        line.join()
    if faults:
        raise BenchError(f"a request failed: {faults[0]}")


def _line(port: int, token: str, requests: int, model: str, faults: list[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        for _ in range(requests):
            messages = [{"role": "user", "content": f"{_HELLO}{next(_NUMBERS):8}"}]  # another text, as people write
            chat = {"model": model, "messages": messages, "temperature": 0.7, "max_tokens": 400}
            body = json.dumps(chat).encode()
            connection.request("POST", "/v1/chat/completions", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != http.HTTPStatus.OK:
                faults.append(f"{answer.status} {text[:300]!r}")
                return
    except OSError as error:
        faults.append(str(error))
    finally:
        connection.close()
