"""Which build runs: proxy/core/build.py, and who says so."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from proxy import __version__
from proxy.core import build, clock
from tests.support.compiled import PURE_ONLY

ROOT = Path(__file__).parents[2]


def test_the_version_names_a_compiled_build() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "proxy", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    is_compiled = Path(clock.__file__).suffix != ".py"
    assert ran.stdout == f"tollkeeper, version {__version__}{', compiled' if is_compiled else ''}\n"
    assert build.IS_COMPILED is is_compiled


def test_files_that_changed_since_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "proxy"
    package.mkdir()
    (package / "same.py").write_text("1")
    (package / "changed.py").write_text("2")
    digests = {"proxy/same.py": sha256(b"1").hexdigest(), "proxy/changed.py": sha256(b"1").hexdigest()}
    (package / "compiled.json").write_text(json.dumps(digests))
    monkeypatch.setattr(build, "_PACKAGE", package)
    monkeypatch.setattr(build, "IS_COMPILED", True)
    assert build.changed_files() == ["proxy/changed.py"]
    monkeypatch.setattr(build, "IS_COMPILED", False)
    assert build.changed_files() == []


def test_what_the_compiled_build_leaves_out_is_there() -> None:
    for beginning in PURE_ONLY:
        file, _, name = beginning.partition("::")
        function, _, case = name.partition("[")
        text = (ROOT / file).read_text()
        assert function in text, f"{beginning} names no test: tests/support/compiled.py"
        assert not case or f'"{case[:-1]}"' in text, f"{beginning} names no case: tests/support/compiled.py"
