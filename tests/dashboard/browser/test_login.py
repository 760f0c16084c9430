"""Ways in, as a person goes them: by a code, by a token, by keyboard alone, without a script, from another site."""

import asyncio
import json
from http import HTTPStatus
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.dashboard.browser.chromium import Visitor, visitor
from tests.dashboard.browser.conftest import OpenPage
from tests.dashboard.browser.demo_proxy import DemoProxy
from tests.support.raw import connect_unix, request_bytes

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _code_address(proxy: DemoProxy) -> str:
    """Return what tollkeeper dashboard opens: a path with a code behind it."""
    sockets = [*proxy.folder.glob("*.sock")]
    async with await connect_unix(str(sockets[0])) as client:
        await client.send(request_bytes("POST", "/admin/v1/sessions/codes", b"{}"))
        answer = await client.read_answer()
    found: dict[str, Any] = json.loads(answer.body)["data"]
    address = found["address"]
    assert address.startswith(f"{proxy.origin}/dashboard/login#")
    return str(address.removeprefix(proxy.origin))


async def _is_at(window: Visitor, path: str) -> None:
    await expect(window.page).to_have_url(f"{window.origin}{path}")


async def test_a_code_opens_the_dashboard_and_leaves_no_trace(proxy: DemoProxy, open_page: OpenPage) -> None:
    window, address = await open_page("nobody"), await _code_address(proxy)
    await window.go(address)
    await _is_at(window, "/dashboard")
    assert await window.faults() == []
    await window.page.go_back()
    assert address.partition("#")[2] not in window.page.url
    again = await open_page("nobody")
    await again.go(address)
    await expect(again.page.get_by_role("alert")).to_contain_text("not valid any more")


async def test_a_code_is_typed_where_no_script_runs(proxy: DemoProxy, open_page: OpenPage) -> None:
    window, address = await open_page("nobody", js=False), await _code_address(proxy)
    await window.go("/dashboard/login")
    await window.page.fill("#code", address.partition("#")[2])
    await window.page.get_by_role("button", name="Log in by code").click()
    await _is_at(window, "/dashboard")


async def test_in_and_out_by_keyboard_alone(proxy: DemoProxy, open_page: OpenPage) -> None:
    window = await open_page("nobody")
    await window.go("/dashboard/people?period=7d")
    keys = window.page.keyboard
    await keys.insert_text("tkop-mistyped")  # as pasted: the field has the focus
    await keys.press("Enter")
    await expect(window.page.get_by_role("alert")).to_contain_text("not an operator's token")
    await keys.insert_text(proxy.admin_token)
    await keys.press("Enter")
    await _is_at(window, "/dashboard/people?period=7d")
    await window.page.get_by_role("button", name="Log out").focus()
    await keys.press("Enter")
    await _is_at(window, "/dashboard/login?out=1")
    await window.page.go_back()  # nothing of the page is kept
    await window.page.reload()
    assert "/dashboard/login" in window.page.url


async def test_a_browser_is_logged_out_from_another(proxy: DemoProxy, open_page: OpenPage) -> None:
    window, user = await open_page(), await open_page("nobody")
    await user.go("/me/login")
    await user.page.fill("#token", proxy.tokens["lena"])
    await user.page.keyboard.press("Enter")
    await _is_at(user, "/me")
    await window.go("/dashboard/sessions?sessions.q=lena")
    await window.page.get_by_role("button", name="Log out lena").first.click()
    await expect(window.page.get_by_role("status")).to_contain_text("lena is logged out")
    await user.page.reload()
    await _is_at(user, "/me/login?next=%2Fme")


class _OtherSite:
    """A page of another site: a link here, and a form that sends itself."""

    def __init__(self, origin: str) -> None:
        self.page = (
            f'<!doctype html><title>x</title><a href="{origin}/dashboard/stop?kind=user">look</a>'
            f'<form method="post" action="{origin}/dashboard/stop"><input name="kind" value="all">'
            f"<button>go</button></form>"
            f'<img src="{origin}/dashboard/sessions">'
        ).encode()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {HTTPStatus.OK} OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: {len(self.page)}\r\n\r\n".encode() + self.page)
        await writer.drain()
        writer.close()


async def test_another_site_links_here_and_does_nothing(
    proxy: DemoProxy, chromium: Browser, logins: dict[str, Any]
) -> None:
    other = _OtherSite(proxy.origin)
    server = await asyncio.start_server(other.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    window = await visitor(chromium, f"http://localhost:{port}", storage_state=logins["operator"])
    stops = await proxy.admin("GET", "/stops")
    try:
        await window.go("/")
        await window.page.get_by_role("link", name="look").click()
        await expect(window.page).to_have_url(f"{proxy.origin}/dashboard/stop?kind=user")
        await expect(window.page.get_by_role("heading", name="Stop", exact=True)).to_be_visible()
        await window.go("/")
        await window.page.get_by_role("button", name="go").click()
        await expect(window.page.locator("body")).to_contain_text("may not call here")
        assert await proxy.admin("GET", "/stops") == stops
    finally:
        await window.context.close()
        server.close()
        await server.wait_closed()
