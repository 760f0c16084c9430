"""The first look at a page of operators makes the others ready; a proxy that nobody looks at does nothing of it."""

import sys
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader

from proxy.web.dashboard.early_pages import ready_pages
from proxy.web.dashboard.template_cache import TemplateCache
from proxy.web.dashboard.templates import compile_templates, environment
from tests.support.installation import ADMIN_TOKEN
from tests.support.stand import stand as run_stand
from tests.support.visitor import Visitor


async def test_the_login_page_makes_the_other_pages_ready(tmp_path: Path) -> None:
    async with run_stand(tmp_path) as stand:
        deps = stand.app.deps
        assert (await Visitor(stand.port, "/me").get("/me/login")).status == 200
        assert deps.dashboard.preparing is None, "a user's own pages need none of it"
        assert (await Visitor(stand.port).get("/dashboard/login")).status == 200
        assert deps.dashboard.preparing is not None
        await deps.dashboard.preparing
        kept = deps.people._people
        assert kept is not None
        assert await deps.people.read() is kept


async def test_a_start_makes_pages_ready_for_an_operator_who_is_logged_in(tmp_path: Path) -> None:
    loaded = 0

    async def load() -> None:
        nonlocal loaded
        loaded += 1

    async with run_stand(tmp_path) as stand:
        deps = stand.app.deps
        await ready_pages(deps, load, 0.0)
        assert (loaded, deps.dashboard.pages, deps.dashboard.preparing) == (0, None, None), "nobody is logged in"
        viewer = Visitor(stand.port)
        await viewer.log_in(ADMIN_TOKEN)
    async with run_stand(tmp_path) as stand:
        deps = stand.app.deps
        await ready_pages(deps, load, 0.0)
        assert loaded == 1
        assert deps.dashboard.preparing is not None
        await deps.dashboard.preparing
        viewer.port = stand.port
        assert (await viewer.get("/dashboard")).status == 200, "the session has survived the restart"


def test_every_template_is_compiled() -> None:
    compile_templates()
    made = environment()
    assert made.cache is not None
    there = made.list_templates(extensions=["html"])
    assert len(made.cache) == len(there), "as many are kept as there are"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.html").write_text("Hello {{ name }}.", encoding="utf-8")
    return tmp_path


def _rendered(folder: Path) -> str:
    made = Environment(loader=FileSystemLoader(folder), bytecode_cache=TemplateCache(folder), autoescape=True)
    return made.get_template("a.html").render(name="you")


def test_a_compiled_template_is_read_again_and_never_that_of_another_text(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    kept = TemplateCache(folder).path_of("a.html")
    assert _rendered(folder) == "Hello you."
    first = kept.stat()
    assert _rendered(folder) == "Hello you."
    assert kept.stat().st_mtime_ns == first.st_mtime_ns, "it was read"
    assert [one.name for one in kept.parent.iterdir()] == [kept.name], "nothing half is left"
    (folder / "a.html").write_text("Good day, {{ name }}.", encoding="utf-8")
    assert _rendered(folder) == "Good day, you."
    for broken in (b"", b"j2", kept.read_bytes()[:-40], b"\0" * 500):
        kept.write_bytes(broken)
        assert _rendered(folder) == "Good day, you."


def test_pages_need_no_folder_that_can_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = TemplateCache(folder).path_of("a.html").parent
    place.write_text("a file where the folder would be", encoding="utf-8")
    assert _rendered(folder) == "Hello you."
    place.unlink()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert _rendered(folder) == "Hello you."
    assert [one.name for one in folder.iterdir()] == ["a.html"]
