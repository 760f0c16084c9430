"""Every command and every program of the front page, the first steps and the how-to pages does what the page says."""

import pytest

from .pages import Page
from .story import PAGES, play
from .terminal import Terminal

GUIDES = [page for page in PAGES if page.name.startswith(("README", "docs/start/", "docs/how-to/"))]


@pytest.mark.slow
@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_the_page_does_what_it_says(page: Page, terminal: Terminal) -> None:
    play(page, terminal)
