"""Figures turned into lines for people: what was measured, the spread, what stands beside it, and what is promised."""

from dataclasses import dataclass
from statistics import median

from figures import Count, Figures, LedgerCount, OpenLoop, Series, Streams, more, ratio, spread
from gates import GATE_COLUMNS, Verdict
from plan import Plan

SYSTEMS = ("direct", "nginx", "aiohttp", "tollkeeper")
COLUMNS = ("", *SYSTEMS, "beside")


@dataclass(frozen=True)
class Line:
    """One figure of all systems, as text."""

    what: str
    direct: str
    nginx: str
    aiohttp: str
    tollkeeper: str
    beside: str  # the ratio to nginx and aiohttp, or what is added

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the line as text, one for each of COLUMNS."""
        return self.what, self.direct, self.nginx, self.aiohttp, self.tollkeeper, self.beside


def lines(figures: Figures, plan: Plan) -> list[Line]:
    """Return the table of what was measured; what a run has left out has no line."""
    per_json, start = figures.json_us, figures.start_s
    grown = f"start on {plan.grown_rows:,} requests, s"
    found = [
        _line("CPU a JSON request, µs", per_json, _times(per_json)),
        _line("the same, one limit, µs", _only(per_json, "single"), _percent_more(per_json, "single", "over none")),
        _line("the same, five limits, µs", _only(per_json, "limited"), _percent_more(per_json, "limited", "over none")),
        _line("the same, route of two, µs", _only(per_json, "route"), _percent_more(per_json, "route", _MODEL)),
        _line("JSON requests a second, one core", figures.json_per_s, digits=0),
        *(line for rate, loop in figures.open_loop.items() for line in _rate_lines(rate, loop)),
        _line(
            f"route of two and model at {plan.mixed.rate}/s, p50 µs",
            _only(figures.mixed_p50_us, "route"),
            _percent_more(figures.mixed_p50_us, "route", _MODEL),
            digits=0,
        ),
        *_stream_lines(f"{plan.paced.streams} streams", figures.paced),
        *_stream_lines(f"{plan.fast.streams} fast streams, {plan.fast.together} in one read", figures.fast),
        *_stream_lines(f"{plan.crowd.streams:,} streams", figures.crowd),
        *_stream_lines("one stream alone", figures.alone),
        _line("memory idle, MB", figures.idle_rss_mb),
        _line(f"memory with {plan.crowd.streams:,} streams, MB", figures.crowd_rss_mb),
        _line("memory after the load, MB", figures.loaded_rss_mb),
        _line("CPU without requests, ms a second", figures.idle_ms_per_s),
        _line("start to first answer, s", start, _times(start), digits=3),
        _line("CPU until then, s", figures.start_cpu_s, _times(figures.start_cpu_s), digits=3),
        _line(grown, _only(start, "grown"), _more(start, "grown", "over empty", 2), digits=3),
        *_ledger_lines(figures, plan.ledger_rate),
        *(_counted(kind, count) for kind, count in figures.instructions.items()),
    ]
    return [line for line in found if {*line.cells[1:5]} != {"-"}]


_MODEL = "over the model"


def _rate_lines(rate: int, loop: OpenLoop) -> list[Line]:
    return [
        _line(f"latency at {rate}/s, p50 µs", loop.p50_us, _added(loop.p50_us), digits=0),
        _line(f"latency at {rate}/s, p99 µs", loop.p99_us, _added(loop.p99_us), digits=0),
        _line(f"CPU a request at {rate}/s, µs", loop.cpu_us, _times(loop.cpu_us), digits=0),
    ]


def _stream_lines(what: str, streams: Streams) -> list[Line]:
    return [
        _line(f"CPU a chunk, {what}, µs", streams.chunk_us, _times(streams.chunk_us)),
        _line("delay of a chunk, p50 µs", streams.delay_us, _added(streams.delay_us), digits=0),
    ]


def _counted(kind: str, count: int) -> Line:
    what = kind if kind.startswith("a chunk") else f"a JSON request, {kind}"
    return Line(f"instructions of {what}", "-", "-", "-", f"{count:,}", "event loop")


def _ledger_lines(figures: Figures, rate: int) -> list[Line]:
    """What the ledger takes without HTTP; beside it a bare write of 4 KB with fdatasync, at the same percentile."""
    series = {
        f"reserve at {rate}/s, p50 µs": figures.reserve_p50_us,
        f"reserve at {rate}/s, p99 µs": figures.reserve_p99_us,
        f"settle at {rate}/s, p50 µs": figures.settle_p50_us,
        f"settle at {rate}/s, p99 µs": figures.settle_p99_us,
    }
    timed = [_line(what, one, _disk(one), digits=0) for what, one in series.items()]
    return [*timed, _line("reservations a second, 32 at once", figures.reserved_per_s, digits=0)]


def _disk(series: Series) -> str:
    return f"disk {median(series['disk']):.0f}" if series.get("disk") else ""


def _only(series: Series, name: str) -> Series:
    """Show another series in tollkeeper's column."""
    return {"tollkeeper": series.get(name, [])}


def _more(series: Series, name: str, over: str, digits: int) -> str:
    """Say what is added to tollkeeper's plain figure of the same round, as the median over the rounds."""
    added = more(series, name, "tollkeeper")
    return "" if added is None else f"{added:+.{digits}f} {over}"


def _percent_more(series: Series, name: str, over: str) -> str:
    times = ratio(series, name, "tollkeeper")
    return "" if times is None else f"{(times - 1) * 100:+z.1f} % {over}"


def _times(series: Series) -> str:
    found = ((ratio(series, "tollkeeper", other), other) for other in ("nginx", "aiohttp"))
    return ", ".join(f"{times:.2f} x {other}" for times, other in found if times is not None)


def _added(series: Series) -> str:
    """Say what each adds to the floor, and what we add to nginx."""
    ours, theirs, over = (more(series, *pair) for pair in (_OURS_DIRECT, _NGINX_DIRECT, _OURS_NGINX))
    if over is None:
        return ""
    floor = "" if ours is None or theirs is None else f"{ours:+.0f} (nginx {theirs:+.0f}), "
    return f"{floor}{over:+.0f} over nginx"


_OURS_DIRECT, _NGINX_DIRECT, _OURS_NGINX = ("tollkeeper", "direct"), ("nginx", "direct"), ("tollkeeper", "nginx")


def _line(what: str, series: Series, beside: str = "", *, digits: int = 1) -> Line:
    direct, nginx, aiohttp, tollkeeper = (spread(series.get(name, []), digits) for name in SYSTEMS)
    return Line(what, direct, nginx, aiohttp, tollkeeper, beside)


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


def markdown(measured: list[Line], held: list[Verdict], figures: Figures, machine: dict[str, str], when: str) -> str:
    """Return the document of a run: machine, promises, all figures, counts."""
    where = (
        f"{machine['cpu']}; {machine['system']}; Python {machine['python']}; nginx {machine['nginx']}; "
        f"commit {machine['commit']}. {machine.get('how', '')}"
    ).strip()
    reading = (
        "How it is measured and how to read it: [benchmarks.md](../trust/benchmarks.md). "
        "Medians of interleaved rounds, [smallest..largest]."
    )
    table = table_text(COLUMNS, [one.cells for one in measured])
    counts = f"Count: {count_text(figures.counts)}.\nLedger alone: {ledger_count_text(figures.ledger_counts)}."
    return "\n".join([f"# Bench of {when}", "", where, reading, "", gate_text(held), "", table, "", counts, ""])


def gate_text(held: list[Verdict]) -> str:
    return table_text(GATE_COLUMNS, [one.cells for one in held])


def table_text(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table of Markdown."""
    return "\n".join([_row(columns), "|---" * len(columns) + "|", *map(_row, rows)])


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
