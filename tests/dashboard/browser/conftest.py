"""One proxy with the demo's weeks and one browser, for all tests of this folder in a process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, StorageState

from tests.dashboard.browser.chromium import Scheme, Visitor, browser, chromium_or_skip, visitor
from tests.dashboard.browser.demo_proxy import DemoProxy, demo_proxy
from tests.dashboard.browser.login import logged_in

OpenPage = Callable[..., Coroutine[Any, Any, Visitor]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def proxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DemoProxy]:
    folder: Path = tmp_path_factory.mktemp("demo")
    chromium_or_skip()
    async with demo_proxy(folder) as found:
        yield found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with browser(chromium_or_skip()) as found:
        yield found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def logins(chromium: Browser, proxy: DemoProxy) -> dict[str, StorageState]:
    """Return the cookies of an operator, and of a user."""
    return {
        "operator": await logged_in(chromium, proxy, "/dashboard/login", proxy.admin_token),
        "user": await logged_in(chromium, proxy, "/me/login", proxy.tokens["anna"]),
    }


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(chromium: Browser, proxy: DemoProxy, logins: dict[str, StorageState]) -> AsyncIterator[OpenPage]:
    """Return what opens a window of somebody who is logged in: operator, user, or nobody."""
    opened: list[Visitor] = []

    async def open_(who: str = "operator", scheme: Scheme = "light", width: int = 1440, **more: Any) -> Visitor:
        found = await visitor(chromium, proxy.origin, scheme=scheme, width=width, storage_state=logins.get(who), **more)
        opened.append(found)
        return found

    yield open_
    await asyncio.gather(*(each.context.close() for each in opened))
