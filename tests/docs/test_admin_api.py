"""docs/reference/admin-api.md names every call from before there were resources."""

import re

from proxy.web.admin.routes import _ASKED, CALLS

from .pages import pages


def test_every_operation_has_its_row() -> None:
    rows = re.findall(r"^\| `(\w+(?:/\w+)?)` \|", pages()["docs/reference/admin-api.md"].text, re.MULTILINE)
    assert sorted(rows) == sorted({*(name.replace(".", "/") for name in CALLS), *_ASKED, "reload"})
