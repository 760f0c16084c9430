"""The browser of this machine, and what it says of a page: how it looks, what it complains of, whom it asks."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_STEP_MS: Final = 20_000  # how long something may take on a busy machine
Scheme = Literal["light", "dark"]
# what a page forbids itself is reported to the page: a script of ours, which no policy holds, keeps it
_LISTEN: Final = """
window.tkRefused = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.tkRefused.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
"""


def find_chromium() -> str | None:
    """Return where Chromium is; None: it is not on this machine."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


def chromium_or_skip() -> str:
    """Return where Chromium is; without it tests are skipped, but never in CI."""
    found = find_chromium()
    if found is None:
        text = "Chromium is not on this machine: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    return found


@asynccontextmanager
async def browser(path: str) -> AsyncIterator[Browser]:
    """Run a headless Chromium that asks nobody but this machine."""
    arguments = [
        *("--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync"),
        *(("--no-sandbox",) if os.geteuid() == 0 else ()),  # it refuses to run as root with it
        "--force-color-profile=srgb",
        "--font-render-hinting=none",
    ]
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield found
        finally:
            await found.close()


@dataclass(slots=True)
class Visitor:
    """Somebody with a browser window, and all that went wrong in it since it was asked last."""

    origin: str
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    async def go(self, address: str) -> int:
        """Open an address of the proxy, a path; return its status."""
        answer = await self.page.goto(self.origin + address, wait_until="load", timeout=_STEP_MS)
        assert answer is not None, address
        return answer.status

    async def type_at_once(self, text: str) -> None:
        """Type into the field that has the focus by itself, which a browser gives it after the page is loaded."""
        await self.page.wait_for_selector("input:focus")
        await self.page.keyboard.type(text)
        assert await self.page.locator("input:focus").input_value() == text

    async def faults(self) -> list[str]:
        """Return what went wrong: errors on the console, failed scripts, refusals of the policy, strangers asked."""
        refused: list[str] = await self.page.evaluate("window.tkRefused ?? []")
        found, self.complaints = [*self.complaints, *refused], []
        return found

    async def count(self, selector: str) -> int:
        return await self.page.locator(selector).count()

    async def run(self, script: str, argument: Any = None) -> Any:
        """Return what a function of JavaScript returns in the page."""
        return await self.page.evaluate(script, argument)


async def visitor(
    chromium: Browser, origin: str, *, scheme: Scheme = "light", width: int = 1440, js: bool = True, **more: Any
) -> Visitor:
    """Open a window on the proxy at origin; more goes to the browser's context."""
    context = await chromium.new_context(
        color_scheme=scheme,
        viewport={"width": width, "height": 900},
        java_script_enabled=js,
        has_touch=width < 600,
        locale="en-GB",
        timezone_id="UTC",
        **more,
    )
    context.set_default_timeout(_STEP_MS)
    await context.add_init_script(_LISTEN)
    found = Visitor(origin, context, await context.new_page())

    def heard(message: ConsoleMessage) -> None:
        # what the test itself asks for and gets an error page of is no fault of the page
        if message.type in ("error", "warning") and "the server responded with a status of 4" not in message.text:
            found.complaints.append(f"console: {message.text}")

    def asked(request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme != "data" and f"{address.scheme}://{address.netloc}" != origin:
            found.complaints.append(f"asked {request.url}")

    found.page.on("console", heard)
    found.page.on("pageerror", lambda error: found.complaints.append(f"script: {error}"))
    found.page.on("request", asked)
    return found
