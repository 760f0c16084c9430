"""Texts from outside that are full of markup: every page shows them as text, keeps its shape and runs none of them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.dashboard.browser.addresses import addresses
from tests.dashboard.browser.chromium import Visitor, visitor
from tests.dashboard.browser.demo_proxy import DemoProxy, demo_proxy
from tests.dashboard.browser.login import logged_in
from tests.dashboard.browser.marked_ledger import plant_marked
from tests.dashboard.browser.markup import MARK, PAYLOADS
from tests.dashboard.browser.page_check import wrong_with

pytestmark = pytest.mark.asyncio(loop_scope="session")

# what has run, what has been made, and how often the texts are there to read
_LOOK = """() => ({
  ran: window.tkpwn !== undefined || document.cookie.includes("tkpwn"),
  made: document.querySelectorAll("tk-pwn, [tk-pwn], main iframe, main base, main link, form[action^='//']").length,
  followed: [...document.querySelectorAll("[href], [src], [action], [formaction]")]
    .filter((one) => ["href", "src", "action", "formaction"].some((name) =>
      /^\\s*(j\\s*a\\s*v\\s*a|data:text|vbscript)/i.test(one.getAttribute(name) ?? ""))).length,
  read: (document.body.textContent.match(/tkpwn|tk-pwn/g) ?? []).length,
})"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def marked(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> AsyncIterator[DemoProxy]:
    folder: Path = tmp_path_factory.mktemp("marked")
    assert chromium.is_connected()
    await plant_marked(folder, PAYLOADS)
    async with demo_proxy(folder) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def windows(marked: DemoProxy, chromium: Browser) -> AsyncIterator[dict[str, Visitor]]:
    agent = PAYLOADS[3]  # a browser's name is a text from outside too
    state = await logged_in(chromium, marked, "/dashboard/login", marked.admin_token, user_agent=agent)
    own = await logged_in(chromium, marked, "/me/login", marked.tokens["anna"])
    yield {
        "operator": await visitor(chromium, marked.origin, storage_state=state),
        "narrow": await visitor(chromium, marked.origin, storage_state=state, width=360, scheme="dark"),
        "user": await visitor(chromium, marked.origin, storage_state=own),
    }


async def test_every_page_shows_them_as_text(marked: DemoProxy, windows: dict[str, Visitor]) -> None:
    found = await addresses(marked)
    wrong, readable = {}, 0
    for address, view in found.items():
        if view.is_open:
            continue
        for name in ("operator", "narrow") if view.audience == "operator" else ("user",):
            window = windows[name]
            status = await window.go(address)
            faults = [*await window.faults(), *await wrong_with(window)]
            seen = await window.run(_LOOK)
            faults += [f"status {status}"] if status != 200 else []
            faults += [f"{what}: {seen[what]}" for what in ("ran", "made", "followed") if seen[what]]
            readable += seen["read"] > 0
            if faults:
                wrong[f"{address} ({name})"] = faults
    assert not wrong, "\n".join(f"{where}: {fault}" for where, faults in wrong.items() for fault in faults)
    assert readable >= 2, f"{MARK} was nowhere to be read: nothing was tried"
