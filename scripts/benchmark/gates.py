"""What the proxy promises of its speed: a table of figures, each with the bound that a run with --gate holds it to.

A full run on a machine without company is held to GATES. A short run, which CI makes on a machine with company, is held
to SHORT_GATES: instructions, memory, and ratios to what ran beside it, with bounds so wide that only a change of the
code crosses them. No time by the clock is a bound there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from figures import Figures, Series, more, ratio

_RATE = 100  # requests a second of the open loop that has gates
NGINX, AIOHTTP, OURS, DIRECT = "nginx", "aiohttp", "tollkeeper", "direct"


@dataclass(frozen=True)
class Gate:
    """One figure of a run, what it was before, the most it may be, and what it shall become."""

    name: str
    what: str
    read: Callable[[Figures], float | None]  # None: this run did not measure it
    most: float
    aim: float | None = None
    before: str = ""  # AMD / Intel where they differ, both of two cores; November 29
    digits: int = 2

    def text(self, value: float | None) -> str:
        return "-" if value is None else f"{value:,.{self.digits}f}"


@dataclass(frozen=True)
class Verdict:
    gate: Gate
    value: float | None
    most: float

    @property
    def ok(self) -> bool:
        return self.value is not None and self.value <= self.most

    @property
    def word(self) -> str:
        if self.value is None:
            return "not measured"
        if not self.ok:
            return "over"
        return "ok" if self.gate.aim is None or self.value > self.gate.aim else "aim reached"

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the verdict as text, one for each of GATE_COLUMNS."""
        gate = self.gate
        return gate.what, gate.before, gate.text(self.value), gate.text(self.most), gate.text(gate.aim), self.word

    def as_json(self) -> dict[str, object]:
        gate = self.gate
        return {
            "name": gate.name, "what": gate.what, "before": gate.before, "value": self.value,
            "gate": self.most, "aim": gate.aim, "verdict": self.word,
        }  # fmt: skip


GATE_COLUMNS = ("", "before", "now", "gate", "aim", "")


def verdicts(figures: Figures, *, short: bool, cpu: str = "", slack: float = 1.0) -> list[Verdict]:
    """Return what a run is held to and whether it holds; slack widens every bound; cpu names the machine's make."""
    table = SHORT_GATES if short else (*GATES, *(INTEL_GATES if "Intel" in cpu else AMD_GATES))
    return [Verdict(gate, gate.read(figures), gate.most * slack) for gate in table]


def over(found: list[Verdict]) -> list[str]:
    """Name the figures that are over their bound, and those that the run should have measured and has not."""
    return [
        f"{one.gate.what}: {one.gate.text(one.value) if one.value is not None else one.word}, "
        f"gate {one.gate.text(one.most)}"
        for one in found
        if not one.ok
    ]


def _middle(series: Series, name: str) -> float | None:
    return median(series[name]) if series.get(name) else None


def _percent(value: float | None) -> float | None:
    return None if value is None else (value - 1) * 100


def _count(kind: str) -> Callable[[Figures], float | None]:
    return lambda figures: figures.instructions.get(kind)


def _limits_counted(figures: Figures) -> float | None:
    limited, plain = figures.instructions.get("five limits"), figures.instructions.get("no limits")
    return None if limited is None or plain is None else (limited / plain - 1) * 100


def _added_p50_ms(figures: Figures) -> float | None:
    loop = figures.open_loop.get(_RATE)
    added = more(loop.p50_us, OURS, NGINX) if loop else None
    return None if added is None else added / 1000


def _added_times(figures: Figures) -> float | None:
    """What we add to the floor of the same round, as a multiple of what nginx adds."""
    loop = figures.open_loop.get(_RATE)
    if loop is None:
        return None
    ours, theirs = more(loop.p50_us, OURS, DIRECT), more(loop.p50_us, NGINX, DIRECT)
    return None if ours is None or theirs is None or theirs <= 0 else ours / theirs


def _cpu_ms(figures: Figures) -> float | None:
    loop = figures.open_loop.get(_RATE)
    used = _middle(loop.cpu_us, OURS) if loop else None
    return None if used is None else used / 1000


def _cpu_times(figures: Figures) -> float | None:
    loop = figures.open_loop.get(_RATE)
    return ratio(loop.cpu_us, OURS, NGINX) if loop else None


_JSON = Gate(
    "json", "CPU a JSON request at 16 connections, x nginx",
    lambda figures: ratio(figures.json_us, OURS, NGINX), 6, 4, "12.3 / 8.6",
)  # fmt: skip
_FAST = Gate(
    "fast_chunk", "CPU a chunk, 4 in one read, x nginx",
    lambda figures: ratio(figures.fast.chunk_us, OURS, NGINX), 1.8, 1.2, "3.9",
)  # fmt: skip
_PACED = Gate(
    "paced_chunk", "CPU a chunk, 100 streams, x nginx",
    lambda figures: ratio(figures.paced.chunk_us, OURS, NGINX), 1.6, 1.3, "2.1",
)  # fmt: skip
_IDLE = Gate(
    "idle_memory", "memory idle, MB", lambda figures: _middle(figures.idle_rss_mb, OURS), 55, 45, "65", digits=1
)
_INSTRUCTIONS = Gate(
    "instructions", "instructions a request, event loop", _count("no limits"), 240_000, 160_000, "481,000", digits=0
)

GATES: tuple[Gate, ...] = (
    _JSON,
    _INSTRUCTIONS,
    Gate(
        "limits", "five limits over none, CPU, %",
        lambda figures: _percent(ratio(figures.json_us, "limited", OURS)), 15, 8, "45", digits=1,
    ),
    Gate("limits_counted", "five limits over none, instructions, %", _limits_counted, 15, 8, "", digits=1),
    Gate("cpu_at_100", "CPU a request at 100/s, ms", _cpu_ms, 0.9, 0.6, "1.9"),
    _FAST,
    _PACED,
    Gate(
        "crowd_chunk", "CPU a chunk, 1,000 streams, x nginx",
        lambda figures: ratio(figures.crowd.chunk_us, OURS, NGINX), 1.6, 1.3,
    ),
    _IDLE,
    Gate(
        "crowd_memory", "memory with 1,000 streams, MB",
        lambda figures: _middle(figures.crowd_rss_mb, OURS), 75, 65, "83", digits=1,
    ),
    Gate(
        "start", "first answer after start, s",
        lambda figures: _middle(figures.start_s, OURS), 0.28, 0.2, "0.33", digits=3,
    ),
    Gate(
        "grown_start", "the same, on a ledger of a million, s",
        lambda figures: _middle(figures.start_s, "grown"), 2.0, None, "1.12", digits=3,
    ),
    Gate(
        "route", "route of two over the model, CPU, %",
        lambda figures: _percent(ratio(figures.json_us, "route", OURS)), 5, None, "6.0", digits=1,
    ),
    Gate(
        "route_p50", "route of two over the model at 500/s, p50, %",
        lambda figures: _percent(ratio(figures.mixed_p50_us, "route", OURS)), 5, None, "1.6", digits=1,
    ),
)  # fmt: skip
# What a request waits depends on the make of the machine; half of what it was there, and a third.
AMD_GATES = (Gate("p50_at_100", "p50 added at 100/s over nginx's, ms", _added_p50_ms, 1.25, 0.83, "2.5"),)
INTEL_GATES = (Gate("p50_at_100", "p50 added at 100/s over nginx's, ms", _added_p50_ms, 0.5, 0.33, "1.0"),)


def _wide(gate: Gate, most: float) -> Gate:
    return Gate(gate.name, gate.what, gate.read, most, digits=gate.digits)


SHORT_GATES: tuple[Gate, ...] = (
    _wide(_JSON, 16),
    _wide(_INSTRUCTIONS, 500_000),
    Gate("limits_counted", "five limits over none, instructions, %", _limits_counted, 60, digits=1),
    Gate("p50_times", "what a request waits at 100/s, x nginx", _added_times, 25),
    Gate("cpu_times", "CPU a request at 100/s, x nginx", _cpu_times, 16),
    _wide(_FAST, 6),
    _wide(_PACED, 4),
    _wide(_IDLE, 62),
    Gate(
        "start_times", "CPU of a start, x aiohttp's relay", lambda figures: ratio(figures.start_cpu_s, OURS, AIOHTTP), 3
    ),
)
