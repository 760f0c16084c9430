"""The pages of models and of the projection, over sockets: what they show is what the API says."""

import html
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import pytest_asyncio

from proxy.core.histogram import BOUNDS
from proxy.core.money import pusd_to_usd, usd_to_pusd
from proxy.storage.finance import TOO_YOUNG
from proxy.web.admin.report import MonthDocument, ProjectionDocument
from proxy.web.dashboard.pages.model import buckets_of
from tests.support.installation import ADMIN_TOKEN
from tests.support.moved_clock import MovedClock
from tests.support.raw import Answer
from tests.support.stand import MODEL, Stand
from tests.support.stand import stand as run_stand
from tests.support.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="module")
HALF_MS = int(datetime(2026, 9, 15, 12, tzinfo=UTC).timestamp() * 1000)  # a month that is old enough for a forecast
SLOW: dict[str, Any] = {"completion_tokens": 40, "pace_ms": 5, "provider": "OpenAI"}


class Asked(NamedTuple):
    """A proxy that has answered three requests, and an admin at a browser."""

    stand: Stand
    admin: Visitor

    async def page(self, path: str) -> str:
        answer = await self.admin.get(path)
        assert answer.status == 200, answer.body
        return html.unescape(answer.body.decode())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Asked]:
    async with run_stand(tmp_path_factory.mktemp("models"), clock=MovedClock(HALF_MS)) as stand:
        for n in range(3):
            await stand.sim.behave(**SLOW)
            assert (await stand.chat({"stream": n > 0})).status == 200
        await stand.settled(3)
        admin = Visitor(stand.port)
        assert (await admin.log_in(ADMIN_TOKEN)).status == 303
        yield Asked(stand, admin)


def rows(page: str, table: str) -> list[list[str]]:
    """Return the cells of a table as text."""
    section = page.partition(f'id="{table}"')[2].partition("</section>")[0]
    return [
        [re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r"<td.*?>(.*?)</td>", row, re.DOTALL)]
        for row in re.findall(r"<tr>(.*?)</tr>", section, re.DOTALL)[1:]
    ]


async def test_models(asked: Asked) -> None:
    page = await asked.page("/dashboard/models?period=24h")
    stats = (await asked.stand.ask("GET", "/admin/v1/models/stats", token=ADMIN_TOKEN)).json()["data"]
    (row,) = rows(page, "stats")
    assert row[0] == MODEL
    assert row[2:4] == ["100 %", str(stats[0]["requests"])]
    assert f'title="${stats[0]["cost_usd"]}"' in page
    assert 'id="cost-by-model"' in page
    assert "data-zoom=" in page  # 24 hours can be zoomed
    assert 'id="first-token"' in page
    listed = rows(page, "list")
    every = (await asked.stand.ask("GET", "/admin/v1/models?limit=1000", token=ADMIN_TOKEN)).json()["data"]
    assert [row[0] for row in listed] == sorted((one["name"] for one in every), key=str.casefold)[:25]


async def test_which_is_cheapest(asked: Asked) -> None:
    page = await asked.page("/dashboard/models?find=yes&need_tools=yes&context=1k")
    query = "/admin/v1/models/recommendations?needs=tools&context=1k"
    found = (await asked.stand.ask("GET", query, token=ADMIN_TOKEN)).json()["data"]["models"]
    with_price = [one for one in found if one["cost_pusd"] is not None]
    by_price = [one["name"] for one in sorted(with_price, key=lambda one: one["cost_pusd"])]
    shown = [row[0] for row in rows(page, "cheapest")]
    assert len(found) > len(shown) == 25  # the rest is on the next page
    assert shown == by_price[:25]
    assert by_price
    assert 'name="need_tools" value="yes" checked' in page


async def test_a_job_that_cannot_be_read_is_told_beside_the_form(asked: Asked) -> None:
    page = await asked.page("/dashboard/models?context=much&max_price=%3Cb%3E")
    assert 'class="problem"' in page
    assert "context: a number of tokens like 200000 or 200k." in page
    assert 'value="much"' in page
    assert (await asked.admin.get("/dashboard/models?user=nobody")).status == 200


async def test_one_model(asked: Asked) -> None:
    path = f"/dashboard/models/{quote(MODEL, safe='')}"
    page = await asked.page(f"{path}?period=24h")
    assert f"<h1>{MODEL}</h1>" in page
    assert 'id="latency"' in page
    assert rows(page, "people") == []  # they are read where somebody asks
    assert 'people=yes#people"' in page
    page = await asked.page(f"{path}?period=24h&people=yes")
    assert [row[0] for row in rows(page, "people")] == ["anna"]
    csv = await asked.admin.get(f"{path}?period=24h&csv=people")
    assert csv.header("Content-Type") == "text/csv; charset=utf-8"
    assert csv.body.decode().splitlines()[0].startswith("user,cost_usd,share,")
    assert (await asked.admin.get("/dashboard/models/none%2Fat-all")).status == 404


async def test_a_model_is_disabled_and_enabled(asked: Asked) -> None:
    path = f"/dashboard/models/{quote(MODEL, safe='')}"
    refused = await asked.admin.post(path, {"request_price": "dear"})
    assert refused.status == 400
    assert b'class="problem"' in refused.body
    assert (await asked.admin.post(path, {"enabled": "no"})).status == 303
    assert (await asked.stand.chat()).status >= 400
    assert "nobody may ask it" in await asked.page(path)
    answer: Answer = await asked.admin.post(path, {"enabled": "yes"})
    assert (answer.status, answer.header("Location")) == (303, path)
    assert (await asked.stand.chat()).status == 200


async def test_projection(asked: Asked) -> None:
    page = await asked.page("/dashboard/projection?growth=10%25/month&revenue=$500/month&months=24")
    query = "/admin/v1/projection?growth=10%25/month&revenue=%24500/month&months=36"
    found = (await asked.stand.ask("GET", query, token=ADMIN_TOKEN)).json()["data"]
    months = rows(page, "ahead")
    assert [row[0] for row in months] == [one["month"] for one in found["months"][:24]]
    costs = re.findall(r'title="\$([0-9.]+)"', page.partition('id="ahead"')[2])[::3]  # cost, sum, margin
    spent = [usd_to_pusd(cost)[0] for cost in costs]
    for span in (12, 24):
        figure = page.partition(f">{span} months</div>")[2].partition('title="$')[2].partition('"')[0]
        assert usd_to_pusd(figure)[0] == sum(spent[:span])
    assert "The band reaches" in page
    assert "it pays" in page
    assert len(await asked.page("/dashboard/projection")) < 60_000


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("growth=fast", "growth:"),
        ("revenue=much", "revenue:"),
        ("cost_of=user%3Danna", "it belongs to revenue"),
        ("months=13", "Choose 12, 24, 36 months."),
    ],
)
async def test_a_projection_that_cannot_be_read(asked: Asked, query: str, words: str) -> None:
    page = await asked.page(f"/dashboard/projection?{query}")
    assert words in page.partition('class="problem"')[2]
    assert 'id="by-month"' in page


async def test_a_month_that_is_too_young_is_not_projected(tmp_path: Path) -> None:
    """What a few hours cost is no month: neither document has a month to come, and the page says why."""
    first_ms = int(datetime(2026, 9, 1, 5, tzinfo=UTC).timestamp() * 1000)
    async with run_stand(tmp_path, clock=MovedClock(first_ms)) as stand:
        assert (await stand.chat()).status == 200
        await stand.settled()
        admin = Visitor(stand.port)
        assert (await admin.log_in(ADMIN_TOKEN)).status == 303
        found, month = [
            (await stand.ask("GET", f"/admin/v1/{path}?revenue=%24500/month", token=ADMIN_TOKEN)).json()["data"]
            for path in ("projection", "report")
        ]
        assert ProjectionDocument.model_validate(found).model_dump(mode="json", by_alias=True) == found
        assert MonthDocument.model_validate(month).model_dump(mode="json", by_alias=True) == month
        assert found["spent_pusd"] == month["total"]["cost_pusd"] > 0
        assert (found["month_pusd"], found["months"], found["break_even"]) == (None, [], None)
        assert (month["forecast"], month["projection"], month["break_even"]) == (None, None, None)
        assert found["forecast_note"] == month["forecast_note"] == f"None yet: {TOO_YOUNG}."
        for query in ("", "?growth=10%25/month&revenue=$500/month"):
            page = await Asked(stand, admin).page(f"/dashboard/projection{query}")
            assert "This month is too young for a forecast" in page
            assert not [words for words in ("12 months</div>", "Does it pay?", 'class="problem"') if words in page]
            assert rows(page, "ahead") == []


@pytest.mark.parametrize("growth", ["-60%25/month", "45%25/month", "0%25/month", "-99%25/year"])
async def test_any_growth_is_drawn(asked: Asked, growth: str) -> None:
    page = await asked.page(f"/dashboard/projection?growth={growth}&months=36")
    assert 'class="problem"' not in page
    assert ("less<" in page, "% more<" in page) == (growth.startswith("-"), growth.startswith("4"))
    assert "nan" not in page.partition('id="by-month"')[2].partition("</figure>")[0].lower()


async def test_buckets_are_drawn_without_holes() -> None:
    bounds, counts = buckets_of([{"at": BOUNDS[2], "number": 3}, {"at": BOUNDS[5], "number": 1}])
    assert bounds == [float(bound) for bound in BOUNDS[1:6]]
    assert counts == [3, 0, 0, 1]
    assert buckets_of([{"at": None, "number": 2}]) == ([float(BOUNDS[-1]), 2.0 * BOUNDS[-1]], [2])
    assert buckets_of([{"at": BOUNDS[0], "number": 2}]) == ([0.0, float(BOUNDS[0])], [2])
    assert buckets_of([]) == ([], [])


async def test_a_pace_that_comes_to_more_than_64_bits_is_told_exactly(asked: Asked) -> None:
    """A company that spends 260,000 USD a month has a sum of three years that no 64 bits hold."""
    answer = await asked.stand.ask("GET", "/admin/v1/projection?growth=900%25/month&months=36", token=ADMIN_TOKEN)
    found = answer.json()["data"]
    assert found["months"][-1]["cost_pusd"] == found["month_pusd"] * 10**36
    answer = await asked.stand.ask("GET", "/admin/v1/report?growth=900%25/month", token=ADMIN_TOKEN)
    sums = answer.json()["data"]["projection"]["months"]
    assert sums["12"]["cost_pusd"] > 2**64
    assert all(pusd_to_usd(one["cost_pusd"]) == one["cost_usd"] for one in sums.values())
    page = await asked.page("/dashboard/projection?growth=900%25/month")
    assert 'class="problem"' not in page


async def _requests(asked: Asked) -> list[str]:
    """Return how many requests the page of models shows, and that of the model."""
    listed = rows(await asked.page("/dashboard/models?period=7d"), "stats")[0][3]
    page = await asked.page(f"/dashboard/models/{quote(MODEL, safe='')}?period=7d")
    return [listed, page.partition(">Requests</div>")[2].partition('value">')[2].partition("<")[0]]


async def test_sums_of_a_large_ledger_are_kept_for_a_while(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    count = len(await asked.stand.rows())
    assert await _requests(asked) == [str(count)] * 2
    assert (await asked.stand.chat()).status == 200
    await asked.stand.settled(count + 1)
    assert await _requests(asked) == [str(count + 1)] * 2  # a small one is read for each look
    monkeypatch.setattr("proxy.web.dashboard.large_sums._LARGE_BYTES", 0)
    assert await _requests(asked) == [str(count + 1)] * 2
    assert (await asked.stand.chat()).status == 200
    await asked.stand.settled(count + 2)
    assert await _requests(asked) == [str(count + 1)] * 2
    model = f"/dashboard/models/{quote(MODEL, safe='')}"
    for path in ("/dashboard/models", model, "/dashboard"):
        assert "Sums as they were at" not in await asked.page(f"{path}?period=month")
        assert "Sums as they were at" in await asked.page(f"{path}?period=month")


async def test_a_model_on_no_list_leads_to_its_requests(asked: Asked) -> None:
    """Links are made of the ledger's names, which no list need have any longer."""
    name = "we/ird?x#y%41"
    assert (await asked.stand.chat({"model": name})).status >= 400
    answer = await asked.admin.get(f"/dashboard/models/{quote(name, safe='')}")
    assert answer.status == 303
    assert "we/ird" in await asked.page(answer.header("Location") or "")
