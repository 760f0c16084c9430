"""Every profile, on default settings: what a user gets, and that the ledger has the bill or says that it may not."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.sampling import drawn

from .cells import Cell, columns, having
from .known import KNOWN, is_known
from .stand import Seen, play_all
from .verdict import faults

pytestmark = pytest.mark.slow

COLUMNS = drawn(columns(), 0.3, "columns of the page")
CELLS = [cell for column in COLUMNS for cell in having(column)]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """Play the cells once, those of one column at the same time."""
    folder: Path = tmp_path_factory.mktemp("profiles")
    return asyncio.run(play_all(folder, COLUMNS))


def marked(cell: Cell) -> Any:
    marks = [pytest.mark.xfail(strict=True, reason="known.py")] if is_known(str(cell)) else []
    return pytest.param(cell, id=str(cell), marks=marks)


@pytest.mark.parametrize("cell", [marked(cell) for cell in CELLS])
def test_a_user_gets_what_the_page_says(played: dict[str, Seen], cell: Cell) -> None:
    assert faults(played[str(cell)]) == []


def test_what_is_known_is_a_cell() -> None:
    names = {f"{profile} {column}" for column, profiles in KNOWN.items() for profile in profiles.split()}
    assert names <= {str(cell) for column in columns() for cell in having(column)}
