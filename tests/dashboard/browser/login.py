"""Log in as a person does: a token in the field of the page."""

from typing import Any

from playwright.async_api import Browser, StorageState

from tests.dashboard.browser.chromium import visitor
from tests.dashboard.browser.demo_proxy import DemoProxy


async def logged_in(chromium: Browser, proxy: DemoProxy, path: str, token: str, **more: Any) -> StorageState:
    """Return the cookies of somebody who has logged in at a path; more goes to the browser's context."""
    window = await visitor(chromium, proxy.origin, **more)
    await window.go(path)
    await window.page.fill("#token", token)
    await window.page.press("#token", "Enter")
    await window.page.wait_for_url(lambda url: "/login" not in url)
    state = await window.context.storage_state()
    await window.context.close()
    return state
