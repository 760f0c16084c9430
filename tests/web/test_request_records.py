"""Each request of a day can be found by the operator: what was booked, what was refused, and why."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.installation import ADMIN_TOKEN, token_hash_of, token_of
from tests.support.raw import Answer
from tests.support.stand import Stand, stand

ANOTHER = {"amount": "$2", "window": "day", "models": ["anthropic/*"]}
SETTINGS: dict[str, Any] = {
    "limits": {"cost": "$50/month"},
    "alerts": {"rules": {"full-disk": {"watch": "disk_free", "at": "900TB"}}},
    "presets": {"fast": {"targets": ["plain/gpt-4o-mini", "openai/gpt-4o-mini"]}},
    "groups": {"family": {"limits": {"tokens": "1000000/day"}}},
    "users": {
        "anna": {
            "limits": {
                "cost": ["$5/day", {"amount": "$1", "window": "day", "models": ["openai/*"]}, ANOTHER],
                "requests": "100/hour",
            },
            "group": "family",
        },
        "bo": {"token_hash": token_hash_of("bo"), "limits": {"cost": "$0.000001/day"}},
    },
}

SLOW: dict[str, Any] = {"completion_tokens": 40, "pace_ms": 20, "provider": "OpenAI"}


class Day:
    """What was asked, by a word of ours: the id of each."""

    def __init__(self, proxy: Stand) -> None:
        self.proxy = proxy
        self.ids: dict[str, str] = {}

    async def get(self, path: str) -> Answer:
        return await self.proxy.ask("GET", f"/admin/v1{path}", token=ADMIN_TOKEN)

    async def data(self, path: str) -> Any:
        answer = await self.get(path)
        assert answer.status == 200, answer.body
        return answer.json()["data"]

    def note(self, name: str, answer: Answer) -> None:
        id_ = answer.header("x-request-id")
        assert id_ is not None
        self.ids[name] = id_

    async def why(self, name: str) -> str:
        text: str = (await self.data(f"/requests/{self.ids[name]}/explanation"))["text"]
        return text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def day(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Day]:
    async with stand(tmp_path_factory.mktemp("records"), SETTINGS) as proxy:
        found = Day(proxy)
        found.note("plain", await proxy.chat())
        found.note("streamed", await proxy.chat({"stream": True, "max_tokens": 50}))
        await proxy.sim.behave("path:/openai/v1/chat/completions", error="server-error")
        found.note("fallback", await proxy.chat({"model": "fast"}))
        await proxy.sim.normal()
        found.note("over", await proxy.chat(token=token_of("bo")))
        found.note("wrong", await proxy.chat(token=token_of("nobody")))
        await proxy.sim.behave(**SLOW)
        client = await proxy.begin_chat({"stream": True})
        await client.read_until(b'"content"')
        await client.hang_up()
        await proxy.settled(4)
        assert await proxy.app.refusals.flush()
        yield found


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_all_are_listed_newest_first(day: Day) -> None:
    entries = await day.data("/requests")
    assert [(one["state"], one["status"], one["user"]) for one in entries if one["endpoint"] == "chat/completions"] == [
        ("settled", 499, "anna"),
        ("refused", 401, None),
        ("refused", 402, "bo"),
        ("settled", 200, "anna"),
        ("settled", 200, "anna"),
        ("settled", 200, "anna"),
    ]
    ids, cursor = [], ""
    while cursor is not None:
        page = (await day.get(f"/requests?limit=2{cursor and '&cursor='}{cursor}")).json()
        ids += [one["id"] for one in page["data"]]
        cursor = page["next_cursor"]
    assert ids == [one["id"] for one in entries] == sorted(ids, reverse=True)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("user=bo", ["over"]),
        ("status=401", ["wrong"]),
        ("status=4xx&state=refused", ["wrong", "over"]),
        ("model=fast", ["fallback"]),
        ("provider=plain", ["fallback"]),
        ("error=insufficient_quota", ["over"]),
        ("group=family&status=2xx", ["fallback", "streamed", "plain"]),
        ("min_cost_usd=1", []),
        ("charged_in_full=true", []),
        ("charged_in_full=false&status=2xx", ["fallback", "streamed", "plain"]),
        ("state=pending", []),
        ("since=2999-01-01T00:00:00Z", []),
        ("until=2020-01-01T00:00:00Z", []),
    ],
)
async def test_filters(day: Day, query: str, names: list[str]) -> None:
    assert [one["id"] for one in await day.data(f"/requests?{query}")] == [day.ids[name] for name in names]


async def test_one_is_shown_by_either_id(day: Day) -> None:
    shown = await day.data(f"/requests/{day.ids['fallback']}")
    assert [(one["provider"], one["outcome"], one["status"]) for one in shown["attempts"]] == [
        ("plain", "upstream_error", 500),
        ("openrouter", "ok", 200),
    ]
    assert shown["attempts"][0]["outcome_meaning"] == "failed with an error of the provider"
    assert shown["cost_source_meaning"] == "the provider's own figure in its answer"
    assert await day.data(f"/requests/{shown['generation_id']}") == shown
    listed = await day.data(f"/attempts?request={day.ids['fallback']}")
    bare = [{name: value for name, value in one.items() if "_price_" not in name} for one in shown["attempts"]]
    assert listed == bare[::-1]
    assert (shown["attempts"][1]["input_price_usd"], shown["attempts"][1]["output_price_usd"]) == ("0.15", "0.6")
    over = await day.data(f"/requests/{day.ids['over']}")
    assert (over["limit"]["scope"], over["limit"]["needed_pusd"] > 0, over["attempts"]) == ("user:bo", True, [])
    [row] = await day.proxy.rows(f"SELECT cost_pusd FROM usage WHERE request_id = '{day.ids['plain']}'")  # noqa: S608
    assert (await day.data(f"/requests/{day.ids['plain']}"))["cost_pusd"] == row["cost_pusd"]


async def test_why_tells_each_story(day: Day) -> None:
    plain = await day.why("plain")
    assert plain.startswith("anna (group family) asked for openai/gpt-4o-mini (chat/completions) on ")
    assert "$0.00 of the hard limit of $5.00 per day for user anna" in plain
    assert plain.endswith(": the provider's own figure in its answer. That is exact.")
    fallback = await day.why("fallback")
    assert "2 of the hard limit of 100 requests per hour for user anna" in fallback
    assert "$0.0000201 of the hard limit of $1.00 per day for user anna on openai/*" in fallback
    assert "$0.00 of the hard limit of $2.00 per day for user anna on anthropic/*" in fallback
    assert "First it went to plain as gpt-4o-mini with key main, which failed with an error of the provider" in fallback
    over = await day.why("over")
    assert "What refused it is the hard limit of $0.000001 per day for user bo: $0.00 of it was spent" in over
    assert "Somebody unknown called /chat/completions" in await day.why("wrong")
    [gone] = await day.data("/requests?status=499")
    day.ids["gone"] = gone["id"]
    assert "The client hung up before the end" in await day.why("gone")


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/requests/req_0000000000000001", 404, "this one would be older, and has been removed"),
        ("/requests/req_7000000000000000", 404, "of a flood of refusals only the newest"),
        ("/requests/req_ffffffffffffffff", 404, "There is no request"),
        ("/requests/gen-nobody", 404, "16 hex digits"),
        ("/requests/x/explanation", 404, "There is no request"),
        ("/requests?user=annna", 400, 'Did you mean "anna"?'),
        ("/requests?status=4x", 400, "status"),
        ("/requests?since=soon", 400, "since"),
        ("/requests?after=req_ffffffffffffffff&since=9999-12-31T00:00:00Z", 200, ""),
        ("/requests?cursor=WyJhIl0", 400, "cursor"),
        ("/attempts?cursor=WzFd", 400, "cursor"),
        ("/attempts?request=req_ffffffffffffffff", 200, ""),
        ("/requests?model=%5B%5B%2A", 200, ""),
    ],
)
async def test_what_is_not_there_or_wrong_is_named(day: Day, path: str, status: int, words: str) -> None:
    answer = await day.get(path)
    assert (answer.status, words in str(answer.json())) == (status, True), answer.body


async def test_status_is_one_look(day: Day) -> None:
    found = await day.data("/status")
    assert found["today"]["requests"] == 4
    assert found["this_month"]["cost_pusd"] == found["today"]["cost_pusd"] > 0
    assert [(one["scope"], one["percent_used"]) for one in found["limits"]] == [("all", 0)]
    assert found["limit_count"] >= 5
    assert {(one["error"], one["count"]) for one in found["refusals"]} >= {
        ("insufficient_quota", 1),
        ("invalid_api_key", 1),
    }
    assert found["ledger"]["size_bytes"] > 10_000
    assert found["ledger"]["disk_free_bytes"] > 0
    assert {name: one["breaker"]["state"] for name, one in found["providers"].items()} == {
        "openrouter": "closed",
        "plain": "closed",
    }
    assert found["started_at"] is not None
    assert (found["open_requests"], found["holds"], found["config_problem"], found["stops"]) == (0, 0, None, [])
    await day.proxy.app.alerts.check()
    [alert] = (await day.data("/status"))["alerts"]
    assert (alert["rule"], alert["since_at"] is None) == ("full-disk", False)
    stop = {"kind": "user", "subject": "bo", "reason": "a test"}
    made = await day.proxy.ask("POST", "/admin/v1/stops", stop, token=ADMIN_TOKEN)
    assert [(one["subject"], one["reason"]) for one in (await day.data("/status"))["stops"]] == [("bo", "a test")]
    await day.proxy.ask("DELETE", f"/admin/v1/stops/{made.json()['data']['id']}", token=ADMIN_TOKEN)
