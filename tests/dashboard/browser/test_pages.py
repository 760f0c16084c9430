"""Every page in a real browser: light and dark, wide and narrow, without a script, by keyboard, on paper."""

import pytest
from playwright.async_api import Browser

from tests.dashboard.browser.addresses import addresses, pages
from tests.dashboard.browser.chromium import Scheme
from tests.dashboard.browser.conftest import OpenPage
from tests.dashboard.browser.demo_proxy import DemoProxy
from tests.dashboard.browser.page_check import axe_findings, lost_focus, wide_at, wrong_with
from tests.support.sampling import drawn

pytestmark = pytest.mark.asyncio(loop_scope="session")

_SHARES: dict[tuple[Scheme, int], float] = {
    ("light", 1440): 0.35,
    ("dark", 360): 0.25,
    ("light", 360): 0.1,
    ("dark", 1440): 0.1,
}


@pytest.mark.parametrize(("scheme", "width"), _SHARES)
async def test_every_page(scheme: Scheme, width: int, proxy: DemoProxy, open_page: OpenPage) -> None:
    """No complaint of the browser, no stranger asked, nothing that axe-core finds, nothing wider than the window."""
    more = {"reduced_motion": "reduce"} if scheme == "dark" else {}
    windows = {who: await open_page(who, scheme, width, **more) for who in ("operator", "user", "nobody")}
    found = await addresses(proxy)
    wrong = {}
    for address in drawn(sorted(found), _SHARES[scheme, width], f"{scheme} {width}"):
        view = found[address]
        window = windows["nobody" if view.is_open else view.audience]
        status = await window.go(address)
        faults = await window.faults()
        faults += [f"status {status}"] if status != 200 else []
        faults += await wrong_with(window)
        faults += await axe_findings(window)
        if width > 1000:
            faults += await lost_focus(window) if not view.is_open else []
            faults += await wide_at(window, (720, 320))
            await window.page.set_viewport_size({"width": width, "height": 900})
        if faults:
            wrong[address] = faults
    assert not wrong, "\n".join(f"{address}: {fault}" for address, faults in wrong.items() for fault in faults)


async def test_pages_are_whole_without_scripts(proxy: DemoProxy, open_page: OpenPage) -> None:
    """What a page says is there without any script: with one, nothing of it is gone."""
    plain = {who: await open_page(who, js=False) for who in ("operator", "user", "nobody")}
    live = {who: await open_page(who) for who in ("operator", "user", "nobody")}
    found = await addresses(proxy)
    for address in drawn(sorted(found), 0.2, "without scripts"):
        view = found[address]
        who = "nobody" if view.is_open else view.audience
        assert await plain[who].go(address) == 200, address
        assert await live[who].go(address) == 200, address
        headings = (
            "() => [...document.querySelectorAll('h1, h2, h3, caption, th')].map((one) => one.textContent.trim())"
        )
        assert await plain[who].run(headings) == await live[who].run(headings), address
        assert await plain[who].run("() => document.body.innerText.includes('JavaScript')") is False, address


async def test_the_way_past_the_menu(open_page: OpenPage) -> None:
    window = await open_page()
    await window.go("/dashboard/stop")
    await window.page.keyboard.press("Tab")
    await window.page.keyboard.press("Enter")
    assert await window.run("() => document.activeElement.id") == "main"


async def test_the_projection_on_paper(open_page: OpenPage) -> None:
    """Nothing to press, nothing cut off at the width of a sheet, dark letters on white, tables whole."""
    window = await open_page(scheme="dark", width=720)  # A4 with margins
    await window.go("/dashboard/projection")
    await window.page.emulate_media(media="print", color_scheme="light")
    assert not [text for text in await wrong_with(window) if "sideways" in text]
    seen = await window.run(
        """() => ({
          pressed: [...document.querySelectorAll("button, nav a, form")].filter((one) => one.checkVisibility()).length,
          paper: getComputedStyle(document.body).backgroundColor,
          ink: getComputedStyle(document.querySelector("h1")).color,
          cut: [...document.querySelectorAll(".scroll")]
            .filter((one) => getComputedStyle(one).overflowX !== "visible").length,
          rows: document.querySelectorAll("tbody tr").length,
        })"""
    )
    assert seen["rows"] >= 12
    assert {name: seen[name] for name in ("pressed", "paper", "ink", "cut")} == {
        "pressed": 0,
        "paper": "rgb(255, 255, 255)",
        "ink": "rgb(0, 0, 0)",
        "cut": 0,
    }
    assert (await window.page.pdf()).startswith(b"%PDF")


async def test_each_page_has_an_address() -> None:
    assert len([*pages()]) > 3


async def test_a_page_that_is_wrong_is_found(chromium: Browser, open_page: OpenPage) -> None:
    """The checks themselves: what they are for does not pass."""
    assert chromium.is_connected()
    window = await open_page("nobody")
    await window.go("/dashboard/login")
    assert await wrong_with(window) == await window.faults() == []
    await window.run(
        """() => {
          document.body.insertAdjacentHTML("beforeend", `<div id=wide onclick="1">much too wide</div><img src="/x.png"
            ><h1>Another</h1><svg></svg><a href="/x" tabindex=3>on</a>`);
          document.getElementById("wide").style.width = "3000px";
          document.getElementById("wide").style.cursor = "pointer";
          const style = document.createElement("style");
          document.head.append(style);
          fetch("http://127.0.0.1:9/").catch(() => 0);
        }"""
    )
    found = "\n".join(await wrong_with(window))
    for text in ("sideways", "2 main headings", "style or script", "a script in", "jumps the queue", "took a click"):
        assert text in found
    faults = "\n".join(await window.faults())
    assert "connect-src" in faults
    assert "image-alt" in "\n".join(await axe_findings(window))
