"""The bench's gates: each can fail, says so by its name, and a run that asks for them ends with an error."""

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARK = ROOT / "scripts" / "benchmark"
SYSTEMS = ("direct", "nginx", "aiohttp", "tollkeeper", "limited", "route", "grown")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uvloop does not run there")


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARK))
    return import_module("gates")


def made_figures(ours: float) -> Any:
    """Return figures where the others have one unit, the floor none, and tollkeeper and its like so many."""
    made = import_module("figures")

    def series(floor: float, unit: float = 1.0) -> dict[str, list[float]]:
        return {name: [floor if name == "direct" else unit * (ours if name in SYSTEMS[3:] else 1)] for name in SYSTEMS}

    found = made.Figures()
    for name in ("json_us", "mixed_p50_us"):
        setattr(found, name, {**series(0), "tollkeeper": [1.0], "limited": [ours], "route": [ours]})
    for streams in (found.paced, found.fast, found.crowd, found.alone):
        streams.chunk_us = series(0)
    found.open_loop[100] = made.OpenLoop(p50_us=series(0, 1000), p99_us=series(0), cpu_us=series(0, 500))
    for name in ("idle_rss_mb", "crowd_rss_mb", "start_s", "start_cpu_s"):
        setattr(found, name, series(0, 0.1))
    found.instructions = {"no limits": 1, "five limits": int(ours)}
    return found


TABLES = ("GATES", "AMD_GATES", "INTEL_GATES", "SHORT_GATES")


@pytest.mark.parametrize("table", TABLES)
def test_each_gate_can_be_over_and_can_hold(gates: Any, table: str) -> None:
    for gate in getattr(gates, table):
        low, high = made_figures(1.0), made_figures(1e6)
        high.json_us["tollkeeper"] = [1e6] if gate.name == "json" else high.json_us["tollkeeper"]
        high.instructions["no limits"] = 10**6 if gate.name == "instructions" else 1
        fine, wrong = (gates.Verdict(gate, gate.read(one), gate.most) for one in (low, high))
        assert (fine.ok, wrong.ok) == (True, False), gate.name
        assert gates.over([fine, wrong])[-1].startswith(f"{gate.what}: "), gate.name
        assert gates.over([fine]) == [], gate.name
        assert wrong.word == "over"


@pytest.mark.parametrize("table", TABLES)
def test_an_aim_is_nearer_than_its_gate(gates: Any, table: str) -> None:
    assert all(gate.aim is None or gate.aim < gate.most for gate in getattr(gates, table))


def test_what_a_run_should_have_measured_and_has_not_is_named(gates: Any) -> None:
    empty = import_module("figures").Figures()
    for short in (True, False):
        held = gates.verdicts(empty, short=short)
        assert {one.word for one in held} == {"not measured"}
        assert len(gates.over(held)) == len(held)


def test_the_bound_of_a_wait_is_that_of_the_make(gates: Any) -> None:
    figures = made_figures(1.8)  # 0.8 ms over nginx
    for cpu, word in (("AMD EPYC", "aim reached"), ("Intel(R) Xeon(R)", "over")):
        found = {one.gate.name: one for one in gates.verdicts(figures, short=False, cpu=cpu)}
        assert found["p50_at_100"].word == word


def test_a_short_run_is_held_to_nothing_by_the_clock_alone(gates: Any) -> None:
    """A machine that is twice as slow for everybody changes no verdict of a short run."""
    figures, slow = made_figures(2.0), made_figures(2.0)
    for series in (slow.json_us, slow.start_s, slow.start_cpu_s, *(one.chunk_us for one in (slow.paced, slow.fast))):
        for values in series.values():
            values[:] = [2 * value for value in values]
    for series in (slow.open_loop[100].p50_us, slow.open_loop[100].cpu_us):
        for values in series.values():
            values[:] = [2 * value for value in values]
    assert gates.verdicts(figures, short=True) == gates.verdicts(slow, short=True)


@pytest.fixture
def main(gates: Any) -> ModuleType:
    del gates  # it has put the bench's folder on the path
    spec = spec_from_file_location("bench_main", BENCHMARK / "__main__.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(sys.platform != "linux", reason="the bench pins processes to cores")
@pytest.mark.parametrize(
    ("ours", "words", "code"),
    [
        (1.0, ["--gate"], 0),
        (1000.0, [], 0),
        (1000.0, ["--gate"], 3),
        (1000.0, ["--gate", "1000000"], 0),
    ],
)
def test_a_run_with_gates_fails_where_one_is_over(
    main: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ours: float,
    words: list[str],
    code: int,
) -> None:
    figures = made_figures(ours)
    if ours > 1:
        figures.json_us["tollkeeper"] = [ours]
    monkeypatch.setattr(main, "measure", lambda *_: figures)
    monkeypatch.setattr(main, "require_tools", lambda: None)
    monkeypatch.setattr(main.instructions, "require_valgrind", lambda: None)
    monkeypatch.setattr(sys, "argv", ["bench", "--short", *words])
    assert main.main() == code
    told = capsys.readouterr().err
    assert ("over its gate: CPU a JSON request at 16 connections, x nginx: 1,000.00, gate 16.00" in told) == (code == 3)


def test_the_page_has_a_place_for_each_table_and_loses_nothing_else(gates: Any, tmp_path: Path) -> None:
    del gates
    page = import_module("page")
    file = tmp_path / "page.md"
    file.write_text(page.PAGE.read_text())
    page.write_tables(file, {"gates": "| one |", "all": "| two |", "peers": "| three |", "hold": "| four |"})
    first = file.read_text()
    assert all(f"\n| {word} |\n" in first for word in ("one", "two", "three", "four"))
    page.write_tables(file, {"gates": "| five |"})
    assert file.read_text() == first.replace("| one |", "| five |")
    assert [line for line in page.PAGE.read_text().splitlines() if line.startswith("#")] == [
        line for line in first.splitlines() if line.startswith("#")
    ]
    with pytest.raises(import_module("machine").BenchError, match="no place for other"):
        page.write_tables(file, {"all": "x", "other": "y"})
    assert file.read_text() == first.replace("| one |", "| five |")
