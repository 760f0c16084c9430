"""Two ways to use a page: with a mouse, and with nothing but a keyboard. A flow is written once for both."""

from typing import Any, Final, Protocol

from playwright.async_api import Error

from tests.dashboard.browser.chromium import Visitor

_TABS_MAX: Final = 250
# what the element with the focus is called, as it is read aloud
_NAME: Final = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const label = one.labels?.length ? one.labels[0].textContent : "";
  return (one.getAttribute("aria-label") || label || one.textContent || one.name || "").trim().replace(/\\s+/g, " ");
}"""


class Hand(Protocol):
    """Uses what is on the page by the name that people know it by."""

    async def press(self, name: str) -> None:
        """Follow a link, or press a button."""
        ...

    async def write(self, name: str, text: str) -> None:
        """Write into a field in place of what stands there."""
        ...

    async def choose(self, name: str, text: str) -> None:
        """Choose an option of a list."""
        ...


class Mouse:
    def __init__(self, window: Visitor) -> None:
        self._page = window.page

    async def press(self, name: str) -> None:
        found = self._page.get_by_role("link", name=name, exact=True).or_(
            self._page.get_by_role("button", name=name, exact=True)
        )
        await found.locator("visible=true").first.click()
        await self._page.wait_for_load_state("load")

    async def write(self, name: str, text: str) -> None:
        await self._page.get_by_label(name, exact=True).locator("visible=true").first.fill(text)

    async def choose(self, name: str, text: str) -> None:
        await self._page.get_by_label(name, exact=True).locator("visible=true").first.select_option(label=text)


class Keyboard:
    """Tab until something has the focus, then Enter, or the letters."""

    def __init__(self, window: Visitor) -> None:
        self._page = window.page

    async def _reach(self, name: str) -> None:
        seen: list[Any] = []
        for _ in range(_TABS_MAX):
            await self._page.keyboard.press("Tab")
            try:
                seen.append(await self._page.evaluate(_NAME))
            except Error:  # the page that an Enter has asked for comes just now
                await self._page.wait_for_load_state("load")
                continue
            if seen[-1] == name:
                return
        raise AssertionError(f"the Tab key does not come to {name!r}, but to {seen}")

    async def press(self, name: str) -> None:
        await self._reach(name)
        await self._page.keyboard.press("Enter")
        await self._page.wait_for_load_state("load")

    async def write(self, name: str, text: str) -> None:
        await self._reach(name)
        await self._page.keyboard.press("Control+a")
        await self._page.keyboard.type(text)

    async def choose(self, name: str, text: str) -> None:
        await self._reach(name)
        await self._page.keyboard.type(text)


HANDS: Final[dict[str, type[Mouse] | type[Keyboard]]] = {"mouse": Mouse, "keyboard": Keyboard}
