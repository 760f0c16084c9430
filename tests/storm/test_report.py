"""What a storm leaves as evidence: a page a day and build."""

from pathlib import Path

import pytest

from tests.storm import report
from tests.storm.report import Ran, write_page
from tests.storm.sections import SECTIONS, Result


def test_the_compiled_build_has_a_page_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = []
    for is_compiled in (False, True):
        monkeypatch.setattr(report, "IS_COMPILED", is_compiled)
        section = SECTIONS[is_compiled]
        pages.append(write_page(tmp_path, [Ran(section, 1, 7, 1.0, Result([], []), "scripts/storm")]))
        assert section.title in pages[-1].read_text()
    pure, compiled = pages
    assert compiled.name == pure.name.replace("storm-", "storm-compiled-") != pure.name
    assert ", compiled, Python" in compiled.read_text()
    assert SECTIONS[0].title not in compiled.read_text()
    assert "compiled" not in pure.read_text()
