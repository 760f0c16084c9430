"""The overview over real sockets: its figures are the ledger's, names are text, an empty ledger says how to begin."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.web.dashboard.figures import money_text
from tests.support.installation import ADMIN_TOKEN, settings, token_hash_of, token_of, write_config
from tests.support.moved_clock import MovedClock
from tests.support.patience import eventually
from tests.support.raw import ask
from tests.support.stand import MODEL, Stand, app_in_loop, simulator
from tests.support.stand import stand as run_stand
from tests.support.visitor import Visitor

SPARE = "google/gemini-2.5-flash"
SETTINGS: dict[str, Any] = {
    "limits": {"cost": "$100/month"},
    "users": {"bo": {"token_hash": token_hash_of("bo"), "limits": {"requests": "3/day"}}},
}
HARM = '<b>x</b> & "y" \'=1+1'


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[tuple[Stand, Visitor]]:
    async with run_stand(tmp_path, SETTINGS) as stand:
        visitor = Visitor(stand.port)
        assert (await visitor.log_in(ADMIN_TOKEN)).status == 303
        yield stand, visitor


async def page(visitor: Visitor, query: str = "", path: str = "/dashboard") -> str:
    answer = await visitor.get(f"{path}{query}")
    assert answer.status == 200, answer.body
    return answer.body.decode()


def words(html: str) -> str:
    """Return what a person reads."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


async def test_an_empty_ledger_says_how_to_begin(place: tuple[Stand, Visitor]) -> None:
    _, visitor = place
    html = await page(visitor)
    assert "Nothing was asked yet" in html
    for done, command in (("A provider is ready", "keys add openrouter"), ("There is a user", "users add ann")):
        assert done in html
        assert command not in html  # what is there already need not be made
    assert "curl http://127.0.0.1/v1/chat/completions" in html
    assert "all well" in html


async def test_the_figures_are_those_of_the_ledger(place: tuple[Stand, Visitor]) -> None:
    stand, visitor = place
    for token, model in ((stand.token, MODEL), (stand.token, SPARE), (token_of("bo"), MODEL), (token_of("bo"), MODEL)):
        headers = [("X-Tollkeeper-Use-Case", "sms")]
        assert (await stand.chat({"model": model}, token=token, headers=headers)).status == 200
    assert (await stand.chat({"messages": "none"})).status == 400
    rows = await stand.settled(4)
    assert await stand.app.deps.write_refusals()
    for period in ("", "?period=24h", "?period=month"):
        html = await page(visitor, period)
        text = words(html)
        whole = money_text(sum(row["cost_pusd"] for row in rows))
        assert text.count(whole) >= 4, "today, this month, in the period, in the middle of the shares"
        assert "Nothing was asked yet" not in text
        assert "100 % answered, 1 refused" in text
        for model in (MODEL, SPARE):
            cost = money_text(sum(row["cost_pusd"] for row in rows if row["model"] == model))
            assert f"{model} {cost}" in text
        assert "of $100.00" in text
        assert f'href="/dashboard/people/bo{period}"' in html
        assert f'href="/dashboard/models/openai%2Fgpt-4o-mini{period}"' in html
        assert "style=" not in html
        (requests,) = set(re.findall(r'href="(/dashboard/requests\?use_case=sms[^"]*)"', html))
        listed = await visitor.get(requests.replace("&amp;", "&"))
        assert (listed.status, listed.body.decode().count('href="/dashboard/requests/req_')) == (200, 4)
    assert len(html.encode()) < 120_000


async def test_credits_of_one_account_are_left_once_and_tell_their_age(tmp_path: Path) -> None:
    clock = MovedClock(1_800_000_000_000)
    async with simulator() as sim:
        entry = {
            "kind": "openrouter",
            "base_url": f"{sim.url}/api/v1",
            "management_key": "sk-or-v1-management-" + "0" * 40,
        }
        again = {**entry, "api_key": "sk-or-v1-" + "6" * 64}
        path = write_config(tmp_path, settings(sim.url, {"providers": {"openrouter": entry, "again": again}}))
        async with app_in_loop(path, clock=clock) as app:
            visitor = Visitor(app.port)
            assert (await visitor.log_in(ADMIN_TOKEN)).status == 303

            async def shown() -> str | None:
                found = re.search(
                    r"Credits left (\S+) (at the providers|as heard [^<]* ago)", words(await page(visitor))
                )
                answer = await ask(app.port, "GET", "/admin/v1/status", token=ADMIN_TOKEN)
                told = answer.json()["data"]["providers"]
                if found is None or None in {told[name]["credits_left_pusd"] for name in ("openrouter", "again")}:
                    return None
                assert {told[name]["credits_of"] for name in ("openrouter", "again")} == {"openrouter"}
                assert found[1] == money_text(told["openrouter"]["credits_left_pusd"])
                return found[2]

            assert await eventually(shown) == "at the providers"
            await sim.behave("path:/api/v1/credits", error="server-error")
            clock.move_to(clock.now_ms() + 3 * 3_600_000)
            assert await shown() == "as heard 3 h ago"


async def test_what_needs_a_look_leads_to_its_page(place: tuple[Stand, Visitor]) -> None:
    stand, visitor = place
    for _ in range(3):
        assert (await stand.chat(token=token_of("bo"))).status == 200
    html = await page(visitor)
    assert "3 of 3 requests per day is used or set aside by user bo: 100 %" in words(html)
    assert 'href="/dashboard/people/bo">See what it went to' in html
    assert "tollkeeper limits list --user bo" in await page(visitor, path="/dashboard/attention")


async def test_names_are_text_and_tables_are_written_whole(place: tuple[Stand, Visitor]) -> None:
    stand, visitor = place
    headers = [("X-Tollkeeper-Use-Case", HARM)]
    for token, model in ((stand.token, SPARE), (token_of("bo"), MODEL)):
        assert (await stand.chat({"model": model}, token=token, headers=headers)).status == 200
    html = await page(visitor)
    assert "<b>x</b>" not in html
    assert "&lt;b&gt;x&lt;/b&gt;" in html
    csv = await page(visitor, "?csv=models")
    assert csv.splitlines()[0] == "name,requests,errors,input_tokens,output_tokens,cost_usd,share"
    assert {line.split(",")[0] for line in csv.splitlines()[1:]} == {MODEL, SPARE}
    assert {line.split(",")[0] for line in (await page(visitor, "?csv=people")).splitlines()[1:]} == {"anna", "bo"}
