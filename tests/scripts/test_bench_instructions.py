"""Counting instructions: the sum of a profile, and a run with the real valgrind."""

import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "scripts" / "benchmark"
PROFILE = """\
# callgrind format
version: 1
creator: callgrind-3.19.0
positions: line
events: Ir

fn=(1) main
16 20
cfn=(2) func1
calls=1 50
+2 400
* 5
fn=(2)
51 100
-3 7
""".splitlines()

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the bench pins processes to cores")


@pytest.fixture
def instructions(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARK))
    return import_module("instructions")


def test_a_call_counts_where_it_leads(instructions: Any) -> None:
    assert instructions.total(PROFILE) == 20 + 5 + 100 + 7


@pytest.mark.sampled(0.3, "long")
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="apt-get install valgrind")
def test_limits_cost_about_as_much_as_none(instructions: Any, tmp_path: Path) -> None:
    said: list[str] = []
    found = instructions.measure(tmp_path, import_module("machine").two_cores(), said.append, requests=5)
    assert said == [f"counting instructions: {name}" for name in ("plain", "limited", "alerts", "route")]
    plain, limited = found["no limits"], found["five limits"]
    assert plain.writer > 10_000
    # Five requests are few: what runs beside them is a tenth of the count on a busy machine, and none is more.
    for one in (limited, found["no limits, alerts"], found["route of two"]):
        assert 100_000 < 0.8 * plain.loop < one.loop < 2 * plain.loop


@pytest.mark.sampled(0.3, "long")
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="apt-get install valgrind")
def test_a_chunk_costs_less_in_company(instructions: Any, tmp_path: Path) -> None:
    said: list[str] = []
    found = instructions.measure_chunks(tmp_path, import_module("machine").two_cores(), said.append)
    assert said == [f"counting instructions: {kind}" for kind in found]
    alone, together, ends = found.values()
    assert 5 * together < 4 * alone < 400_000 < 4 * ends
