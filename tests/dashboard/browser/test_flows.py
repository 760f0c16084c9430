"""What people come for, from the login on: once with the mouse, once by keyboard alone."""

import re

import pytest

from tests.dashboard.browser.chromium import Visitor
from tests.dashboard.browser.conftest import OpenPage
from tests.dashboard.browser.demo_proxy import DemoProxy
from tests.dashboard.browser.hands import HANDS, Hand
from tests.support.patience import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.parametrize("hand", HANDS)]


def _hand(name: str, window: Visitor) -> Hand:
    return HANDS[name](window)


async def test_find_who_spent_most_this_week_and_stop_them(hand: str, proxy: DemoProxy, open_page: OpenPage) -> None:
    window = await open_page("nobody")
    use = _hand(hand, window)
    await window.go("/dashboard/people")  # nobody is logged in: the way leads over the login
    assert "/dashboard/login" in window.page.url
    await window.type_at_once(proxy.admin_token)
    await use.press("Log in")
    await window.page.wait_for_url("**/dashboard/people")
    await use.press("7 d")
    await window.page.wait_for_url("**/dashboard/people?period=7d")
    name = await window.page.locator("#spent tbody tr:first-child a").first.inner_text()
    spent = await proxy.admin("GET", "/usage?by=user&since=7d")
    costs = {row["key"]["user"]: row["cost_pusd"] for row in spent["rows"]}
    assert name in sorted(costs, key=lambda user: -costs[user])[:2]  # the page's week may begin some hours earlier
    await use.press(name)
    await use.press(f"Stop {name}")
    await use.write("Why, as users will read it", "spent most this week")
    await use.press("Stop")
    await window.page.wait_for_selector(f"strong:text-is('user {name}')")
    (stop,) = [one for one in await proxy.admin("GET", "/stops") if one["subject"] == name]
    assert stop["reason"] == "spent most this week"
    refused = await proxy.ask("POST", "/v1/chat/completions", _CHAT, token=proxy.tokens[name])
    assert (refused.status, refused.json()["error"]["code"]) == (503, "stopped")
    await use.press(f"Resume user {name}")
    await window.page.wait_for_selector(f"strong:text-is('user {name}')", state="detached")
    assert (await proxy.ask("POST", "/v1/chat/completions", _CHAT, token=proxy.tokens[name])).status == 200
    assert not await window.faults()


async def test_add_a_user_and_hand_over_the_token(hand: str, proxy: DemoProxy, open_page: OpenPage) -> None:
    window = await open_page()
    use = _hand(hand, window)
    await window.go("/dashboard/people")
    name = f"new-by-{hand}"
    await use.write("Name", name)
    await use.choose("Group", "family")
    await use.write("Limit", "$2/day")
    await use.press("Add user")
    await window.page.wait_for_selector("main :text('tk-')")
    token = re.search(r"tk-[0-9A-Za-z]{49}", await window.page.inner_text("main"))
    assert token is not None
    assert (await proxy.ask("POST", "/v1/chat/completions", _CHAT, token=token[0])).status == 200
    limits = (await proxy.ask("GET", "/v1/me/limits", token=token[0])).json()["limits"]
    assert {limit["scope"] for limit in limits} >= {f"user:{name}", "group:family"}
    await window.go(f"/dashboard/people/{name}")
    assert token[0] not in await window.page.content()  # it was shown once
    assert not await window.faults()


async def test_hold_the_list_of_requests_still(hand: str, proxy: DemoProxy, open_page: OpenPage) -> None:
    window = await open_page()
    use = _hand(hand, window)
    await window.go("/dashboard/requests")
    first = window.page.locator("main tbody tr:first-child a").first
    await use.press("Pause")
    before = await first.get_attribute("href")
    assert (await proxy.ask("POST", "/v1/chat/completions", _CHAT, token=proxy.tokens["ben"])).status == 200
    newest = (await proxy.admin("GET", "/requests?limit=1"))[0]["id"]
    assert await first.get_attribute("href") == before
    await window.page.locator("[data-pause]").press("Enter")

    async def is_there() -> bool:
        return newest in (await first.get_attribute("href") or "")

    await eventually(is_there)
    assert not await window.faults()


async def test_ask_where_a_request_would_go(hand: str, open_page: OpenPage) -> None:
    window = await open_page()
    use = _hand(hand, window)
    await window.go("/dashboard/routes")
    await use.write("Model or preset", "quick")
    await use.write("User", "lena")
    await use.press("Explain")
    await window.page.wait_for_url("**/dashboard/routes?*model=quick*")
    text = await window.page.inner_text("main")
    assert "groq" in text
    assert "openai/gpt-4.1-nano" in text
    assert not await window.faults()


async def test_ask_a_model_and_take_the_program(hand: str, open_page: OpenPage) -> None:
    window = await open_page()
    use = _hand(hand, window)
    await window.go("/dashboard/playground")
    await use.write("Prompt", "What's new?")
    await use.write("Model 1", "openai/gpt-5-mini")
    await use.choose("Counts for the limits of", "anna")
    await use.press("Ask")
    await window.page.wait_for_selector(".answer >> text=first token after")
    curl, python = (await window.page.locator("section[aria-labelledby=code] pre").all_inner_texts())[:2]
    assert 'model="openai/gpt-5-mini"' in python
    assert '"What\'s new?"' in python
    assert """"content":"What'"'"'s new?\"""" in curl
    assert not await window.faults()
    await window.page.fill("#model1", " ")
    await use.press("Ask")  # of no model: the page says so, where a script alone would do nothing
    await window.page.wait_for_selector(".problem:has-text('Choose a model')")


async def test_read_the_file_again(hand: str, open_page: OpenPage) -> None:
    window = await open_page()
    use = _hand(hand, window)
    await window.go("/dashboard/configuration")
    await use.press("Read the file now")
    await window.page.wait_for_selector("[role=status]")
    assert not await window.faults()


async def test_a_user_looks_at_their_own_limits(hand: str, proxy: DemoProxy, open_page: OpenPage) -> None:
    window = await open_page("nobody")
    use = _hand(hand, window)
    await window.go("/me")
    await window.type_at_once(proxy.tokens["lena"])
    await use.press("Log in")
    await window.page.wait_for_url(re.compile(r"/me$"))
    text = await window.page.inner_text("main")
    assert "$8/day" in text or "$8.00" in text
    assert "/v1" in text  # what programs need
    await use.press("Log out")
    await window.page.wait_for_url("**/me/login**")
    assert (await window.page.goto(f"{proxy.origin}/me")) is not None
    assert "/me/login" in window.page.url
    assert not await window.faults()


_CHAT = {"model": "openai/gpt-5-mini", "max_tokens": 20, "messages": [{"role": "user", "content": "Hello."}]}
