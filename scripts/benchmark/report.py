"""Figures turned into lines for people: what was measured, the spread, and whether the gate holds."""

from dataclasses import dataclass
from statistics import median

from rounds import Count, Figures, LedgerCount, Plan

# Gates, set for the path without the lane (aiohttp's server, own pool upstream); ratios to nginx in the same run.
JSON_GATE = 10.0
CHUNK_GATE = 2.5
ROUTE_GATE_PERCENT = 5.0  # over the plain model name, of the same round
RSS_GATE_MB = 70.0
START_GATE_S = 0.7
GROWN_START_GATE_S = 2.0
SYSTEMS = ("direct", "nginx", "aiohttp", "tollkeeper")
COLUMNS = ("", *SYSTEMS, "beside", "gate", "")


@dataclass(frozen=True)
class Line:
    what: str
    direct: str
    nginx: str
    aiohttp: str
    tollkeeper: str
    beside: str  # the ratio to nginx and aiohttp, or what is added
    gate: str = ""
    ok: bool | None = None  # None: nothing is promised

    @property
    def verdict(self) -> str:
        return {None: "", True: "ok", False: "over"}[self.ok]

    @property
    def cells(self) -> tuple[str, ...]:
        """Give the line as text, one for each of COLUMNS."""
        values = (self.direct, self.nginx, self.aiohttp, self.tollkeeper)
        return (self.what, *values, self.beside, self.gate, self.verdict)


def lines(figures: Figures, plan: Plan, slack: float = 1.0) -> list[Line]:
    """Give the table; slack widens every gate, for runs that are short or on a machine with company."""
    json_ratio = paired_ratio(figures.json_us, "tollkeeper", "nginx")
    chunk_ratio = paired_ratio(figures.chunk_us, "tollkeeper", "nginx")
    rss_mb = median(figures.idle_rss_mb["tollkeeper"])
    start_s = median(figures.start_s["tollkeeper"])
    rate = plan.latency_rate
    json_gate, chunk_gate, rss_gate_mb = JSON_GATE * slack, CHUNK_GATE * slack, RSS_GATE_MB * slack
    start_gate_s, grown_gate_s = START_GATE_S * slack, GROWN_START_GATE_S * slack
    route_percent = ROUTE_GATE_PERCENT * slack
    json_ok, chunk_ok = json_ratio <= json_gate, chunk_ratio <= chunk_gate
    p50, p99, delay = figures.latency_p50_us, figures.latency_p99_us, figures.chunk_delay_us
    per_json, per_chunk = figures.json_us, figures.chunk_us
    idle, loaded, start = figures.idle_rss_mb, figures.loaded_rss_mb, figures.start_s
    limited, grown = _only(per_json, "limited"), _only(start, "grown")
    grown_ok = median(start["grown"]) < grown_gate_s
    return [
        _line("CPU a JSON request, µs", per_json, _times(per_json), gate=_most(json_gate), ok=json_ok),
        _line("the same, five limits, µs", limited, _more(per_json, "limited", "over none", 1)),
        _route_line("the same, route of two, µs", per_json, route_percent),
        _line("JSON requests a second, one core", figures.json_per_s, digits=0),
        _line("CPU a chunk, µs", per_chunk, _times(per_chunk), gate=_most(chunk_gate), ok=chunk_ok),
        _line("the same, route of two, µs", _only(per_chunk, "route"), _percent_more(per_chunk)),
        _line("delay of a chunk, p50 µs", delay, _added(delay), digits=0),
        _line(f"latency at {rate}/s, p50 µs", p50, _added(p50), digits=0),
        _line(f"latency at {rate}/s, p99 µs", p99, _added(p99), digits=0),
        _route_line(
            f"route of two and model at {plan.mixed_rate}/s, p50 µs", figures.mixed_p50_us, route_percent, digits=0
        ),
        _line("memory idle, RSS MB", idle, gate=f"< {rss_gate_mb:g}", ok=rss_mb < rss_gate_mb),
        _line("memory after the load, RSS MB", loaded),
        _line("start to first answer, s", start, digits=3, gate=f"< {start_gate_s:g}", ok=start_s < start_gate_s),
        _line(
            f"start on {plan.grown_rows:,} requests, s",
            grown,
            _more(start, "grown", "over empty", 2),
            digits=3,
            gate=f"< {grown_gate_s:g}",
            ok=grown_ok,
        ),
        *_ledger_lines(figures, plan.ledger_rate),
    ]


def _ledger_lines(figures: Figures, rate: int) -> list[Line]:
    """What the ledger takes without HTTP; beside it a bare write of 4 KB with fdatasync, at the same percentile."""
    series = {
        f"reserve at {rate}/s, p50 µs": figures.reserve_p50_us,
        f"reserve at {rate}/s, p99 µs": figures.reserve_p99_us,
        f"settle at {rate}/s, p50 µs": figures.settle_p50_us,
        f"settle at {rate}/s, p99 µs": figures.settle_p99_us,
    }
    timed = [_line(what, one, f"disk {median(one['disk']):.0f}", digits=0) for what, one in series.items()]
    return [*timed, _line("reservations a second, 32 at once", figures.reserved_per_s, digits=0)]


def _only(series: dict[str, list[float]], name: str) -> dict[str, list[float]]:
    """Show another series in tollkeeper's column."""
    return {"tollkeeper": series[name]}


def _more(series: dict[str, list[float]], name: str, over: str, digits: int) -> str:
    """Give what is added to tollkeeper's plain figure of the same round, as the median over the rounds."""
    added = [ours - plain for ours, plain in zip(series[name], series["tollkeeper"], strict=True)]
    return f"{median(added):+.{digits}f} {over}"


def _route_line(what: str, series: dict[str, list[float]], most_percent: float, digits: int = 1) -> Line:
    ok = _over_model_percent(series) <= most_percent
    gate = f"≤ {most_percent:+g} %"
    return _line(what, _only(series, "route"), _percent_more(series), digits=digits, gate=gate, ok=ok)


def _percent_more(series: dict[str, list[float]]) -> str:
    return f"{_over_model_percent(series):+z.1f} % over the model"


def _over_model_percent(series: dict[str, list[float]]) -> float:
    return (paired_ratio(series, "route", "tollkeeper") - 1) * 100


def _times(series: dict[str, list[float]]) -> str:
    return ", ".join(f"{paired_ratio(series, 'tollkeeper', other):.2f} x {other}" for other in ("nginx", "aiohttp"))


def _most(ratio: float) -> str:
    return f"≤ {ratio:g} x"


def _line(
    what: str,
    series: dict[str, list[float]],
    beside: str = "",
    *,
    digits: int = 1,
    gate: str = "",
    ok: bool | None = None,
) -> Line:
    direct, nginx, aiohttp, tollkeeper = (spread(series.get(name, []), digits) for name in SYSTEMS)
    return Line(what, direct, nginx, aiohttp, tollkeeper, beside, gate, ok)


def over(measured: list[Line]) -> list[str]:
    """Name the lines whose gate is over."""
    return [f"{one.what} ({one.tollkeeper}; gate {one.gate})" for one in measured if one.ok is False]


def paired_ratio(series: dict[str, list[float]], name: str, over: str) -> float:
    """Give the median over the rounds of one system's figure divided by another's of the same round."""
    return median(ours / theirs for ours, theirs in zip(series[name], series[over], strict=True))


def _added(series: dict[str, list[float]]) -> str:
    def over_direct(name: str) -> float:
        return median(one - floor for one, floor in zip(series[name], series["direct"], strict=True))

    return f"{over_direct('tollkeeper'):+.0f} (nginx {over_direct('nginx'):+.0f})"


def spread(values: list[float], digits: int) -> str:
    """Give the median, with the smallest and largest round behind it: 16.8 [15.7..17.9]."""
    if not values:
        return "-"
    middle = f"{median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} [{min(values):.{digits}f}..{max(values):.{digits}f}]"


def count_text(counts: list[Count]) -> str:
    """Say in one line whether the ledger has a row for each answer, and where it has not."""
    answered = sum(one.answered_by_upstream for one in counts)
    rows = sum(one.rows for one in counts)
    text = f"{answered} answers of the upstream, {rows} rows in the ledger"
    wrong = [one for one in counts if not one.agrees]
    if not wrong:
        return f"{text}, all settled: they agree"
    return "\n".join(
        [
            f"{text}: THEY DO NOT AGREE",
            *(
                f"  {one.load}: {one.answered_by_upstream} answers, {one.rows} rows, "
                f"{one.unsettled} not settled, {one.failed} failed"
                for one in wrong
            ),
        ]
    )


def ledger_count_text(counts: list[LedgerCount]) -> str:
    """Say in one line whether the ledger on its own holds what it was given."""
    text = f"{sum(one.reserved for one in counts)} reservations, {sum(one.rows for one in counts)} rows"
    wrong = [one for one in counts if not one.agrees]
    if not wrong:
        return f"{text}, all settled, totals as a start reads them: they agree"
    return "\n".join(
        [
            f"{text}: THEY DO NOT AGREE",
            *(
                f"  {one.load}: {one.reserved} reservations, {one.rows} rows, {one.unsettled} not settled; "
                f"{'; '.join(one.faults[:3]) or 'totals agree'}"
                for one in wrong
            ),
        ]
    )


def markdown(measured: list[Line], figures: Figures, machine: dict[str, str], when: str, how: str) -> str:
    where = (
        f"{machine['cpu']}; {machine['system']}; Python {machine['python']}; nginx {machine['nginx']}; "
        f"commit {machine['commit']}. {how}"
    )
    reading = (
        "How it is measured and how to read it: [benchmarks.md](../benchmarks.md). "
        "Medians of interleaved rounds, [smallest..largest]."
    )
    table = [_row(COLUMNS), "|---" * len(COLUMNS) + "|", *(_row(one.cells) for one in measured)]
    counts = f"Count: {count_text(figures.counts)}.\nLedger alone: {ledger_count_text(figures.ledger_counts)}."
    return "\n".join([f"# Bench of {when}", "", where, reading, "", *table, "", counts, ""])


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
