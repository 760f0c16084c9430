"""Where instructions go: a profile is divided by library, byte codes by room."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "scripts" / "benchmark"
PROFILE = """\
events: Ir

ob=(1) /usr/bin/python3.11
fn=(1) main
16 20
cob=(2) /x/site-packages/uvloop/loop.cpython-311-x86_64-linux-gnu.so
cfn=(2) func1
calls=1 50
+2 400
* 5
ob=(2)
fn=(2)
51 100
cob=(1)
cfn=(1)
calls=1 50
51 7
ob=(3) /usr/lib/libm.so.6
fn=(3)
-3 9
ob=(1)
fn=(1)
16 1
""".splitlines()

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uvloop does not run there")


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARK))
    return import_module("stages")


def test_instructions_count_where_they_are_executed(stages: Any) -> None:
    assert stages.by_library(PROFILE) == {"CPython": 26, "uvloop": 100, "libm.so.6": 9}
    assert stages.by_library(PROFILE).total() == import_module("instructions").total(PROFILE)


def test_byte_codes_count_by_folder(stages: Any) -> None:
    codes = [("pipeline/relay/whole", "f"), ("pipeline/relay/base", "g"), ("pipeline/run", "h"), ("app", "i")]
    assert stages.by_room(codes) == {"pipeline/relay": 2, "pipeline": 1, "app": 1}


def test_the_tables_stand_side_by_side(stages: Any) -> None:
    rows = stages.rows(stages.by_room([("wire/body", "f")] * 3 + [("core/ids", "g")]), stages.by_library(PROFILE))
    assert rows[0] == ("together", "4", "", "together", "135", "")
    assert rows[1] == ("wire", "3", "75.0", "uvloop", "100", "74.1")
    assert rows[3] == ("", "", "", "libm.so.6", "9", "6.7")


async def test_a_request_is_followed_code_by_code(stages: Any, tmp_path: Path) -> None:
    way = await import_module("frames").codes(tmp_path)
    rooms = stages.by_room(way.frames)
    assert rooms.total() > 1000
    assert {"wire", "pipeline/relay", "storage/sqlite", "policy/quota"} <= rooms.keys()
