"""The bench's table: medians, gates, what is compared with what, and a count that can fail."""

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
    rounds = import_module("rounds")
    del report  # it has put the bench's folder on the path
    three = ("direct", "nginx", "tollkeeper")
    found = rounds.Figures()
    found.json_us = {
        "nginx": [10.0, 20.0, 30.0],
        "aiohttp": [100.0, 200.0, 300.0],
        "tollkeeper": [90.0, 160.0, 300.0],
        "limited": [95.0, 167.0, 309.0],
        "route": [99.0, 166.4, 300.0],
    }
    found.chunk_us = {"nginx": [10.0], "aiohttp": [40.0], "tollkeeper": [26.0], "route": [26.0 - 1e-9]}
    found.mixed_p50_us = {"tollkeeper": [500.0, 1000.0, 800.0], "route": [530.0, 1060.0, 800.0]}
    found.start_s = {"nginx": [0.1], "tollkeeper": [0.5, 0.6, 0.9], "grown": [1.5, 2.1, 2.3]}
    for series in ("json_per_s", "chunk_delay_us", "latency_p50_us", "latency_p99_us", "idle_rss_mb", "loaded_rss_mb"):
        setattr(found, series, {name: [60.0] for name in three})
    for series in ("reserve_p50_us", "reserve_p99_us", "settle_p50_us", "settle_p99_us"):
        setattr(found, series, {"tollkeeper": [500.0, 700.0], "disk": [140.0, 160.0]})
    found.reserved_per_s = {"tollkeeper": [9000.0, 9500.0]}
    return found


def test_gates_hold_for_the_median_of_paired_rounds(report: Any, figures: Any) -> None:
    plan = import_module("rounds").SHORT
    shown = {line.what: line for line in report.lines(figures, plan)}
    json_line, chunk_line = shown["CPU a JSON request, µs"], shown["CPU a chunk, µs"]
    assert (json_line.beside, json_line.verdict) == ("9.00 x nginx, 0.90 x aiohttp", "ok")
    assert (chunk_line.beside, chunk_line.verdict) == ("2.60 x nginx, 0.65 x aiohttp", "over")
    assert shown["start to first answer, s"].verdict == "ok"
    grown = shown["start on 100,000 requests, s"]
    assert (grown.tollkeeper, grown.beside, grown.verdict) == ("2.100 [1.500..2.300]", "+1.40 over empty", "over")


def test_gates_that_are_over_fail_a_run_that_asks_for_it(report: Any, figures: Any) -> None:
    """Each by its name; a run with company may have wider ones."""
    plan = import_module("rounds").SHORT
    failed = report.over(report.lines(figures, plan))
    assert [text.partition(" (")[0] for text in failed] == [
        "CPU a chunk, µs",
        "route of two and model at 500/s, p50 µs",
        "start on 100,000 requests, s",
    ]
    assert failed[0].endswith("gate ≤ 2.5 x)")
    assert report.over(report.lines(figures, plan, 3.0)) == []


def test_a_route_is_compared_with_its_first_model_of_the_same_round(report: Any, figures: Any) -> None:
    found = report.lines(figures, import_module("rounds").SHORT)
    cpu, chunk = (line for line in found if line.what == "the same, route of two, µs")
    mixed = next(line for line in found if line.what == "route of two and model at 500/s, p50 µs")
    assert (cpu.tollkeeper, cpu.beside, cpu.verdict) == ("166.4 [99.0..300.0]", "+4.0 % over the model", "ok")
    assert (chunk.beside, chunk.verdict) == ("+0.0 % over the model", "")
    assert (mixed.tollkeeper, mixed.beside) == ("800 [530..1060]", "+6.0 % over the model")
    assert (mixed.gate, mixed.verdict) == ("≤ +5 %", "over")


def test_the_document_has_a_cell_for_each_column(report: Any, figures: Any) -> None:
    found = report.lines(figures, import_module("rounds").SHORT)
    machine = dict.fromkeys(("cpu", "system", "python", "nginx", "commit"), "x")
    table = [
        line for line in report.markdown(found, figures, machine, "2026-11-21", "").splitlines() if line[:1] == "|"
    ]
    assert len(table) == 2 + len(found)
    assert {line.count("|") for line in table} == {len(report.COLUMNS) + 1}
    assert "| CPU a chunk, µs | - | 10.0 | 40.0 | 26.0 | 2.60 x nginx, 0.65 x aiohttp | ≤ 2.5 x | over |" in table


def test_limits_are_compared_with_none_of_the_same_round(report: Any, figures: Any) -> None:
    shown = {line.what: line for line in report.lines(figures, import_module("rounds").SHORT)}
    limited = shown["the same, five limits, µs"]
    assert (limited.tollkeeper, limited.beside) == ("167.0 [95.0..309.0]", "+7.0 over none")
    assert shown["reserve at 500/s, p99 µs"].tollkeeper == "600 [500..700]"
    assert shown["reserve at 500/s, p99 µs"].beside == "disk 150"
    assert shown["reservations a second, 32 at once"].tollkeeper == "9250 [9000..9500]"


@pytest.mark.parametrize(
    ("rows", "unsettled", "faults"), [(9, 0, []), (10, 1, []), (10, 0, ["user:a day: kept 5, rows say 6"])]
)
def test_a_ledger_that_differs_is_told_and_fails_the_run(
    report: Any, figures: Any, rows: int, unsettled: int, faults: list[str]
) -> None:
    rounds = import_module("rounds")
    figures.ledger_counts = [rounds.LedgerCount("first", 10, 10, 0, [])]
    assert figures.agree
    assert report.ledger_count_text(figures.ledger_counts).endswith("they agree")
    figures.ledger_counts.append(rounds.LedgerCount("second", 10, rows, unsettled, faults))
    assert not figures.agree
    text = report.ledger_count_text(figures.ledger_counts)
    assert "THEY DO NOT AGREE" in text
    assert "second: 10 reservations" in text
    assert "first" not in text


def test_an_answer_without_a_row_fails_the_run(report: Any, figures: Any) -> None:
    rounds = import_module("rounds")
    figures.counts = [rounds.Count("JSON", 5, 4, 4, 0, 0)]
    assert not figures.agree
    assert "JSON: 5 answers, 4 rows" in report.count_text(figures.counts)
    assert "THEY DO NOT AGREE" in report.markdown(
        [], figures, dict.fromkeys(("cpu", "system", "python", "nginx", "commit"), "x"), "2026-11-21", ""
    )
