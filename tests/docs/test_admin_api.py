"""docs/reference/admin-api.md has every route as its document describes it, and every call older than those."""

import re

from proxy.web.admin.routes import _ASKED, CALLS

from .__main__ import ADMIN_API
from .admin_tables import written

PAGE = ADMIN_API.read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_routes() -> None:
    assert written(PAGE) == PAGE, "python -m tests.docs --write"


def test_every_older_call_has_its_row() -> None:
    rows = re.findall(r"^\| `(\w+(?:/\w+)?)` \|", PAGE.partition("## Older calls")[2], re.MULTILINE)
    assert sorted(rows) == sorted({*(name.replace(".", "/") for name in CALLS), *_ASKED, "reload"})
