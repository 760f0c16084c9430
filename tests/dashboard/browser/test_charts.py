"""Charts in a real browser: values by mouse, touch and keyboard, and the zoom that a script adds."""

from typing import Final

import pytest

from tests.dashboard.browser.conftest import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="session")

AREA: Final = "#cost-by-model"
SHOWN: Final = f"""() => [...document.querySelectorAll("{AREA} .point")].flatMap((point, n) =>
  getComputedStyle(point.querySelector(".tip")).visibility === "visible" ? [n] : [])"""


async def test_values_by_mouse_and_keyboard(open_page: OpenPage) -> None:
    """A chart is one stop of the Tab key; arrows walk its points, and Escape leaves."""
    window = await open_page()
    await window.go("/dashboard/models")
    points = await window.count(f"{AREA} .point")
    assert points == 30
    assert await window.run(SHOWN) == []
    await window.page.locator(f"{AREA} .point .hit").nth(20).hover()
    assert await window.run(SHOWN) == [20]
    await window.page.mouse.move(0, 0)
    await window.page.locator(f"{AREA} .point").first.focus()
    for key, place in (("ArrowRight", 1), ("End", 29), ("ArrowRight", 29), ("ArrowLeft", 28), ("Home", 0)):
        await window.page.keyboard.press(key)
        assert await window.run(SHOWN) == [place], key
    stops = f"""() => document.querySelectorAll('{AREA} .point[tabindex="0"]').length"""
    assert await window.run(stops) == 1
    await window.page.keyboard.press("Escape")
    assert await window.run(SHOWN) == []
    assert await window.faults() == []


async def test_values_by_touch(open_page: OpenPage) -> None:
    window = await open_page(width=360)
    await window.go("/dashboard/models")
    await window.page.locator(f"{AREA} .point .hit").nth(8).tap()
    assert await window.run(SHOWN) == [8]
    inside = f"""() => [...document.querySelectorAll("{AREA} .tip p")].every((tip) => {{
      const {{left, right}} = tip.getBoundingClientRect();
      return left >= 0 && right <= innerWidth;
    }})"""
    assert await window.run(inside)


async def test_a_chart_is_zoomed_and_put_back(open_page: OpenPage) -> None:
    """By keyboard alone: the button, closer, and Escape; the drawing gives way and comes back."""
    window = await open_page()
    await window.go("/dashboard/models")
    drawing = window.page.locator(f"{AREA} svg[role=group]")
    await window.page.locator(AREA).get_by_role("button", name="Zoom").focus()
    await window.page.keyboard.press("Enter")
    assert await window.count(f"{AREA} canvas") == 1
    assert not await drawing.is_visible()
    pixels = f"""() => document.querySelector("{AREA} canvas").toDataURL()"""
    whole = await window.run(pixels)
    for name in ("Closer", "Earlier"):
        before = await window.run(pixels)
        await window.page.locator(AREA).get_by_role("button", name=name).press("Enter")
        await window.page.wait_for_function(f"""(before) => ({pixels})() !== before""", arg=before)
    await window.page.locator(AREA).get_by_role("button", name="Wider").press("Enter")
    await window.page.wait_for_function(f"""(whole) => ({pixels})() === whole""", arg=whole)
    await window.page.keyboard.press("Escape")
    assert await window.count(f"{AREA} canvas") == 0
    assert await drawing.is_visible()
    assert await window.faults() == []


async def test_without_a_script_each_point_is_a_stop(open_page: OpenPage) -> None:
    window = await open_page(js=False)
    await window.go("/dashboard/models")
    points = window.page.locator(f"{AREA} .point[tabindex='0']")
    assert await points.count() == 30
    assert await window.page.get_by_role("button", name="Zoom").count() == 0
    assert await window.page.locator(f"{AREA} svg[role=group]").is_visible()
