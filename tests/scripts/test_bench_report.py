"""The bench's table: medians, what is compared with what, and a count that can fail."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "scripts" / "benchmark"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uvloop does not run there")


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARK))
    return import_module("report")


@pytest.fixture
def figures(report: Any) -> Any:
    del report  # it has put the bench's folder on the path
    made = import_module("figures")
    found = made.Figures()
    found.json_us = {
        "nginx": [10.0, 20.0, 30.0],
        "aiohttp": [100.0, 200.0, 300.0],
        "tollkeeper": [90.0, 160.0, 300.0],
        "limited": [95.0, 167.0, 309.0],
        "route": [99.0, 166.4, 300.0],
    }
    found.paced.chunk_us = {"nginx": [10.0], "aiohttp": [40.0], "tollkeeper": [26.0], "route": [26.0 - 1e-9]}
    found.mixed_p50_us = {"tollkeeper": [500.0, 1000.0, 800.0], "route": [530.0, 1060.0, 800.0]}
    found.start_s = {"nginx": [0.1, 0.1, 0.1], "tollkeeper": [0.5, 0.6, 0.9], "grown": [1.5, 2.1, 2.3]}
    found.open_loop[100] = made.OpenLoop(
        p50_us={"direct": [50.0, 60.0], "nginx": [250.0, 240.0], "tollkeeper": [1250.0, 1440.0]}
    )
    for series in ("reserve_p50_us", "reserve_p99_us", "settle_p50_us", "settle_p99_us"):
        setattr(found, series, {"tollkeeper": [500.0, 700.0], "disk": [140.0, 160.0]})
    found.reserved_per_s = {"tollkeeper": [9000.0, 9500.0]}
    found.instructions = {"no limits": 240_000, "a chunk, alone": 9_000}
    return found


def shown(report: Any, figures: Any) -> dict[str, Any]:
    return {line.what: line for line in report.lines(figures, import_module("plan").SHORT)}


def test_what_stands_beside_is_of_the_same_round(report: Any, figures: Any) -> None:
    lines = shown(report, figures)
    assert lines["CPU a JSON request, µs"].beside == "9.00 x nginx, 0.90 x aiohttp"
    assert lines["CPU a chunk, 100 streams, µs"].beside == "2.60 x nginx, 0.65 x aiohttp"
    assert lines["latency at 100/s, p50 µs"].beside == "+1290 (nginx +190), +1100 over nginx"
    limited = lines["the same, five limits, µs"]
    assert (limited.tollkeeper, limited.beside) == ("167.0 [95.0..309.0]", "+4.4 % over none")
    route = lines["the same, route of two, µs"]
    assert (route.tollkeeper, route.beside) == ("166.4 [99.0..300.0]", "+4.0 % over the model")
    mixed = lines["route of two and model at 500/s, p50 µs"]
    assert (mixed.tollkeeper, mixed.beside) == ("800 [530..1060]", "+6.0 % over the model")
    grown = lines["start on 100,000 requests, s"]
    assert (grown.tollkeeper, grown.beside) == ("2.100 [1.500..2.300]", "+1.40 over empty")
    assert lines["reserve at 500/s, p99 µs"].tollkeeper == "600 [500..700]"
    assert lines["reserve at 500/s, p99 µs"].beside == "disk 150"
    assert lines["reservations a second, 32 at once"].tollkeeper == "9250 [9000..9500]"
    assert lines["instructions of a JSON request, no limits"].tollkeeper == "240,000"
    assert lines["instructions of a chunk, alone"].tollkeeper == "9,000"


def test_what_was_not_measured_has_no_line(report: Any, figures: Any) -> None:
    assert "memory with 1,000 streams, MB" not in shown(report, figures)
    figures.crowd_rss_mb = {"nginx": [20.0], "tollkeeper": [80.0]}
    assert shown(report, figures)["memory with 1,000 streams, MB"].tollkeeper == "80.0"


def test_the_document_has_a_cell_for_each_column(report: Any, figures: Any) -> None:
    gates = import_module("gates")
    found, held = report.lines(figures, import_module("plan").SHORT), gates.verdicts(figures, short=False)
    machine = dict.fromkeys(("cpu", "system", "python", "nginx", "commit"), "x")
    table = [
        line for line in report.markdown(found, held, figures, machine, "2026-11-21").splitlines() if line[:1] == "|"
    ]
    assert len(table) == 4 + len(found) + len(held)
    assert {line.count("|") for line in table} == {len(report.COLUMNS) + 1}
    assert "| CPU a chunk, 100 streams, µs | - | 10.0 | 40.0 | 26.0 | 2.60 x nginx, 0.65 x aiohttp |" in table
    assert "| CPU a chunk, 100 streams, x nginx | 2.1 | 2.60 | 1.60 | 1.30 | over |" in table


@pytest.mark.parametrize(
    ("rows", "unsettled", "faults"), [(9, 0, []), (10, 1, []), (10, 0, ["user:a day: kept 5, rows say 6"])]
)
def test_a_ledger_that_differs_is_told_and_fails_the_run(
    report: Any, figures: Any, rows: int, unsettled: int, faults: list[str]
) -> None:
    made = import_module("figures")
    figures.ledger_counts = [made.LedgerCount("first", 10, 10, 0, [])]
    assert figures.agree
    assert report.ledger_count_text(figures.ledger_counts).endswith("they agree")
    figures.ledger_counts.append(made.LedgerCount("second", 10, rows, unsettled, faults))
    assert not figures.agree
    text = report.ledger_count_text(figures.ledger_counts)
    assert "THEY DO NOT AGREE" in text
    assert "second: 10 reservations" in text
    assert "first" not in text


def test_an_answer_without_a_row_fails_the_run(report: Any, figures: Any) -> None:
    made = import_module("figures")
    figures.counts = [made.Count("JSON", 5, 4, 4, 0, 0)]
    assert not figures.agree
    assert "JSON: 5 answers, 4 rows" in report.count_text(figures.counts)
    assert "THEY DO NOT AGREE" in report.markdown(
        [], [], figures, dict.fromkeys(("cpu", "system", "python", "nginx", "commit"), "x"), "2026-11-21"
    )
