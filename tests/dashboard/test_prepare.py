"""The first look at a page of operators makes the others ready; a proxy that nobody looks at does nothing of it."""

from pathlib import Path

from proxy.web.dashboard.templates import compile_templates, environment
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


def test_every_template_is_compiled() -> None:
    compile_templates()
    made = environment()
    assert made.cache is not None
    assert len(made.cache) == len(made.list_templates()), "as many are kept as there are"
