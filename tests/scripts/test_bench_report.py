"""The bench's table: medians, gates, what is compared with what, and a count that can fail."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "scripts" / "benchmark"

pytest.importorskip("uvloop", reason="the bench runs where uvloop does")


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
    found.json_us = {"nginx": [10.0, 20.0, 30.0], "tollkeeper": [90.0, 160.0, 300.0], "limited": [95.0, 167.0, 309.0]}
    found.chunk_us = {"nginx": [10.0], "tollkeeper": [26.0]}
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
    assert (shown["CPU a JSON request, µs"].beside, shown["CPU a JSON request, µs"].verdict) == ("9.00 x nginx", "ok")
    assert shown["CPU a chunk, µs"].verdict == "over"
    assert shown["start to first answer, s"].verdict == "ok"
    grown = shown["start on 100,000 requests, s"]
    assert (grown.tollkeeper, grown.beside, grown.verdict) == ("2.100 [1.500..2.300]", "+1.40 over empty", "over")


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
