"""Every page has its pictures, each is shown in the documentation, and none is too large to be read on the way."""

import re
from pathlib import Path
from typing import Final

from tests.dashboard.browser.pictures import FOLDER, names, picture_name

_ROOT: Final = Path(__file__).parents[2]
_PAGE: Final = _ROOT / "docs" / "how-to" / "dashboard.md"
_BYTES_MAX: Final = 110_000


def test_every_page_has_its_pictures_and_no_picture_is_without_a_page() -> None:
    assert {path.stem for path in FOLDER.glob("*.png")} == {*names()}, "run: scripts/screenshots"


def test_each_picture_is_shown() -> None:
    shown = {*re.findall(r"pictures/dashboard/([\w-]+)\.png", _PAGE.read_text(encoding="utf-8"))}
    assert shown == {*names()}
    assert "docs/pictures/dashboard/overview.png" in (_ROOT / "README.md").read_text(encoding="utf-8")


def test_pictures_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in FOLDER.glob("*.png")}
    assert {name: size for name, size in sizes.items() if size > _BYTES_MAX} == {}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in FOLDER.glob("*.png"))


def test_names_say_which_page_it_is() -> None:
    assert picture_name("/dashboard") == "overview"
    assert picture_name("/dashboard/people/{name}") == "people-name"
    assert picture_name("/me/login") == "me-login"
