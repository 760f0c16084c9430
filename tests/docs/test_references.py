"""Every command and every program of the pages that are no guides (test_guides.py) does what the page says."""

import pytest

from .pages import Page
from .story import PAGES, play
from .terminal import Terminal
from .test_guides import GUIDES


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page not in GUIDES], ids=lambda page: page.name)
def test_the_page_does_what_it_says(page: Page, terminal: Terminal) -> None:
    play(page, terminal)
