"""/admin/v1/account: what the provider says, as old as it may be, and in words where it says no."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.support.installation import ADMIN_TOKEN, PROVIDER_KEY
from tests.support.raw import ask
from tests.support.stand import Stand, stand

MANAGEMENT_KEY = "sk-or-v1-management-" + "0" * 40
_SPARE = "sk-or-v1-" + "0badcafe" * 8
_MANAGED = {
    "providers": {
        "openrouter": {
            "api_key": None,
            "keys": [{"name": "main", "api_key": PROVIDER_KEY}, {"name": "spare", "api_key": _SPARE}],
            "management_key": MANAGEMENT_KEY,
        }
    }
}


async def told(stand: Stand, path: str = "", status: int = 200) -> Any:
    answer = await stand.ask("GET", f"/admin/v1/account{path}", token=ADMIN_TOKEN)
    assert answer.status == status, answer.body
    assert MANAGEMENT_KEY.encode() not in answer.body
    body = answer.json()
    return body["data"] if status == 200 else body["error"]


async def test_credits_and_keys_are_those_of_the_books_and_kept_a_while(tmp_path: Path) -> None:
    async with stand(tmp_path, _MANAGED) as place:
        made = {"name": "spare here", "limit": 2, "limit_reset": "monthly"}
        await ask(place.sim.port, "POST", "/api/v1/keys", made, token=MANAGEMENT_KEY)
        await place.chat()
        await place.settled()
        (charged,) = [one["charged_pusd"] for one in (await place.sim.books())["generations"].values()]
        (account,) = await told(place)
        assert account["provider"] == "openrouter"
        assert account["questions"] == ["activity", "credits", "generation", "generation_costs", "key", "keys"]
        assert (account["credits"]["used_pusd"], account["credits"]["age_s"]) == (charged, 0)
        assert account["credits"]["left_pusd"] == 1000 * 10**12 - charged
        kinds = {key["name"]: key["kind"] for key in account["keys"]}
        assert kinds == {"main": "inference", "spare": "inference", "management": "management"}
        assert sum(key["spent"]["day_pusd"] for key in account["keys"]) == charged
        assert account["keys"][0]["budgets"] == []
        assert await told(place, "/openrouter") == account
        asked = [await place.sim.requests(path) for path in ("/credits", "/key")]
        assert [len(one) for one in asked] == [1, 3]
        await listed_keys_and_days(place)
        await refusals_are_said(place)


async def listed_keys_and_days(place: Stand) -> None:
    (listed,) = await told(place, "/openrouter/keys")
    assert (listed["name"], listed["limit_usd"], listed["used_here"]) == ("spare here", "2", None)
    await place.sim._ask("POST", "clock", {"advance_s": 86_400})
    today = (await place.sim._ask("POST", "clock", {}))["now"]
    day = f"{today_date(today - 86_400)}"
    (row,) = await told(place, f"/openrouter/activity?date={day}")
    assert (row["requests"], row["model"]) == (1, "openai/gpt-4o-mini")
    hashed = sha256(PROVIDER_KEY.encode()).hexdigest()
    spare = sha256(_SPARE.encode()).hexdigest()
    of_keys = [await told(place, f"/openrouter/activity?date={day}&key_hash={one}") for one in (hashed, spare)]
    assert sorted(map(len, of_keys)) == [0, 1]


def today_date(now: int) -> str:
    return datetime.fromtimestamp(now, UTC).date().isoformat()


async def refusals_are_said(place: Stand) -> None:
    error = await told(place, "/openrouter/activity?date=2020-01-01", status=409)
    assert error["code"] == "account_not_told"
    assert "last 30 (completed) UTC days" in error["message"]
    assert "These do: openrouter" in (await told(place, "/plain", status=404))["message"]
    assert (await told(place, "/openrouter/activity", status=400))["param"] == "date"
    await place.sim.behave("path:/credits", error="guardrail-budget")
    place.app.services.accounts._entries.clear()
    credits_ = (await told(place, "/openrouter"))["credits"]
    assert (credits_["left_pusd"], "the key itself is good" in credits_["problem"]) == (None, True)


async def test_what_makes_no_sense_is_told_and_the_rest_is_shown(tmp_path: Path) -> None:
    async with stand(tmp_path, _MANAGED) as place:
        data = {"usage": 12, "limit": "abc", "limit_remaining": [], "byok_usage": {}, "limit_reset": "daily"}
        await place.sim.behave("path:/key", body=json.dumps({"data": data}))
        await place.sim.behave("path:/keys", body=json.dumps({"data": [{**data, "hash": "a" * 64}]}))
        key = (await told(place, "/openrouter"))["keys"][0]
        assert (key["spent"]["total_usd"], key["spent_byok"], key["budgets"]) == ("12", None, [])
        assert key["unread"] == ["limit", "limit_remaining", "byok_usage"]
        assert (
            key["problem"] == "limit, limit_remaining, byok_usage: the provider's answer makes no sense, so not known."
        )
        (listed,) = await told(place, "/openrouter/keys")
        assert (listed["limit_usd"], listed["spent_byok"], listed["unread"]) == (None, None, key["unread"])


async def test_without_a_management_key_the_answer_says_what_is_missing(stand: Stand) -> None:
    account = await told(stand, "/openrouter")
    assert (account["credits"], [key["name"] for key in account["keys"]]) == (None, ["main"])
    error = await told(stand, "/openrouter/keys", status=409)
    assert "providers.openrouter.management_key" in error["message"]


async def test_a_management_key_can_be_sealed_in_the_database(stand: Stand) -> None:
    """It is tried first, reads the account from the next question on, and is used for no request."""

    async def operate(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        answer = await stand.ask(method, f"/admin/v1/keys{path}", body, token=ADMIN_TOKEN)
        assert MANAGEMENT_KEY.encode() not in answer.body
        return answer.status, answer.json()

    new = {"provider": "openrouter", "management": True, "secret": MANAGEMENT_KEY}
    status, body = await operate("POST", "", {**new, "secret": _SPARE})
    assert (status, body["error"]["code"]) == (422, "key_refused")
    assert "this is an ordinary key" in body["error"]["message"]
    assert (await operate("POST", "", {**new, "provider": "plain"}))[0] == 422
    assert (await operate("POST", "", {**new, "priority": 2}))[0] == 400
    status, body = await operate("POST", "", new)
    assert (status, body["data"]["id"], body["data"]["state"]) == (201, "openrouter:management", "in use")
    assert (body["data"]["management"], body["data"]["check"]["accepted"]) == (True, True)
    account = await told(stand, "/openrouter")
    assert account["credits"]["left_usd"] == "1000"
    assert [key["kind"] for key in account["keys"]] == ["inference", "management"]
    assert (await stand.chat()).status == 200
    (chat,) = await stand.sim.requests()
    assert sha256(MANAGEMENT_KEY.encode()).hexdigest() not in str(chat)
    assert (await operate("POST", "", {**new, "name": "second"}))[0] == 400
    assert (await operate("PATCH", "/openrouter:management", {"weight": 2}))[0] == 400
    status, body = await operate("POST", "/openrouter:management/rotate", {"secret": _SPARE})
    assert (status, body["error"]["code"]) == (422, "key_refused")
    assert (await operate("POST", "/openrouter:management/test"))[1]["data"]["accepted"] is True
    assert (await operate("DELETE", "/openrouter:management"))[0] == 200
    assert (await told(stand, "/openrouter"))["credits"] is None
