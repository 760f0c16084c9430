"""docs/reference/admin-api.md names every operation of the operator."""

import re

from proxy.storage.admin_operations import OPERATIONS
from proxy.web.admin.routes import _ASKED

from .pages import pages


def test_every_operation_has_its_row() -> None:
    rows = re.findall(r"^\| `(\w+(?:/\w+)?)` \|", pages()["docs/reference/admin-api.md"].text, re.MULTILINE)
    assert sorted(rows) == sorted({*(name.replace(".", "/") for name in OPERATIONS), *_ASKED, "reload"})
