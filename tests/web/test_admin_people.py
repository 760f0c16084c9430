"""Users, groups and limits at run time, as resources of the operator's API: what is set holds at the next request."""

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.web.admin.resources import TABLE
from tests.support.installation import ADMIN_TOKEN, token_hash_of, token_of
from tests.support.patience import eventually
from tests.support.raw import Answer
from tests.support.stand import Stand
from tests.support.stand import stand as run_stand

FILE = {
    "users": {
        "anna": {"group": "family", "limits": {"cost": "$5/day"}, "models": ["*"]},
        "stopped": {"token_hash": token_hash_of("stopped"), "disabled": True},
    },
    "groups": {"family": {"limits": {"cost": "$50/month"}}},
    "limits": {"cost": "$200/month"},
    "end_users": {"limits": {"cost": "$1/day"}},
    "presets": {"texts": {"targets": ["openai/gpt-4o-mini"], "use_case": "sms", "limits": {"cost": "$9/day"}}},
}
CHAT = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Hej"}], "max_tokens": 50}


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with run_stand(tmp_path, FILE) as found:
        yield found


async def ask(stand: Stand, method: str, path: str, body: Any = None, **more: Any) -> Answer:
    return await stand.ask(method, f"/admin/v1/{path}", body, token=ADMIN_TOKEN, **more)


async def done(stand: Stand, method: str, path: str, body: Any = None, **more: Any) -> Any:
    answer = await ask(stand, method, path, body, **more)
    assert answer.status in (200, 201), answer.json()
    return answer.json()["data"]


async def refused(stand: Stand, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, str, str, str]:
    answer = await ask(stand, method, path, body, **more)
    error = answer.json()["error"]
    return answer.status, error["code"], error["param"], error["message"]


async def chat(stand: Stand, token: str, **more: Any) -> Answer:
    return await stand.ask("POST", "/v1/chat/completions", {**CHAT, **more}, token=token)


async def test_an_answer_with_a_token_is_not_kept() -> None:
    made, shown = (TABLE.find("users" if name is None else f"users/{name}") for name in (None, "bo"))
    assert made is not None
    assert shown is not None
    assert made[0]["POST"].shows_secret
    assert not shown[0]["PATCH"].shows_secret


async def test_a_colleague_spends_is_refused_raised_and_goes_on(stand: Stand) -> None:
    settings = {"limits": {"cost": "$0.0001/day", "requests": "100/hour"}, "models": ["openai/*"]}
    made = await done(stand, "POST", "users", {"name": "bo", "settings": settings, "token": {"name": "laptop"}})
    token = made["token"]
    assert {each["limit"]: each["source"] for each in made["limits"]} == {
        "$0.0001/day": "database",
        "100/hour": "database",
    }
    while (answer := await chat(stand, token)).status == 200:
        pass
    assert (answer.status, answer.json()["error"]["code"]) == (402, "insufficient_quota")
    shown = await done(stand, "GET", "users/bo")
    assert "token" not in shown
    cost = next(each for each in shown["limits"] if each["kind"] == "cost")
    assert 0 < cost["used_pusd"] <= cost["amount_pusd"] == 10**8
    assert cost["remaining_pusd"] == cost["amount_pusd"] - cost["used_pusd"]
    assert (cost["amount_usd"], cost["resets_at"] is not None) == ("0.0001", True)
    raised = await done(stand, "PATCH", f"limits/{cost['id']}", {"limit": "$5.000000000001/day"})
    assert (raised["id"], raised["amount_pusd"]) == (cost["id"], 5 * 10**12 + 1)
    assert raised["used_pusd"] == cost["used_pusd"]
    assert (await chat(stand, token)).status == 200
    assert (await chat(stand, token, model="google/gemini-2.5-flash")).status in (403, 404)
    await done(stand, "PATCH", "users/bo", {"settings": {"models": None}})
    assert (await done(stand, "GET", "users/bo"))["settings"].keys() == {"limits"}


async def test_a_change_takes_nothing_from_what_runs_and_forgets_nothing_that_was_spent(stand: Stand) -> None:
    made = await done(stand, "POST", "users", {"name": "bo", "settings": {"limits": {"cost": "$5/day"}}, "token": {}})
    (limit,) = made["limits"]
    await stand.sim.behave(delay_ms=400)
    running = asyncio.create_task(chat(stand, made["token"]))

    async def is_held() -> bool:
        return bool((await done(stand, "GET", f"limits/{limit['id']}"))["reserved_pusd"])

    await eventually(is_held)
    lowered = await done(stand, "PATCH", f"limits/{limit['id']}", {"limit": "$0.000000000001/day"})
    assert (lowered["remaining_pusd"], lowered["reserved_pusd"] > 1) == (0, True)
    assert (await chat(stand, made["token"])).status == 402
    assert (await running).status == 200
    (row,) = await stand.settled()
    await done(stand, "POST", "limits", {"scope": "user", "name": "bo", "kind": "requests", "limit": "9/hour"})
    await done(stand, "DELETE", f"limits/{limit['id']}")
    found = await done(stand, "POST", "limits", {"scope": "user", "name": "bo", "kind": "cost", "limit": "$1/day"})
    assert (found["used_pusd"], found["reserved_pusd"]) == (row["cost_pusd"], 0)


async def test_a_use_case_that_gets_a_limit_has_spent_before(stand: Stand) -> None:
    use_case = [("X-Tollkeeper-Use-Case", "nightly")]
    asked = {**CHAT, "model": "openai/gpt-4o-mini"}
    assert (await stand.chat(asked, headers=use_case)).status == 200
    body = {"scope": "use_case", "name": "nightly", "kind": "requests", "limit": "1/day"}
    assert (await done(stand, "POST", "limits", body))["used"] == 1
    assert (await stand.chat(asked, headers=use_case)).status == 402
    assert (await stand.chat(asked)).status == 200


async def test_a_set_of_models_that_gets_a_limit_has_spent_before(stand: Stand) -> None:
    made = await done(stand, "POST", "users", {"name": "bo", "group": "family", "token": {}})
    assert (await chat(stand, made["token"])).status == 200
    await stand.settled()
    for scope, name in (("user", "bo"), ("group", "family"), ("all", None)):
        for models, used in ((["openai/*"], 1), (["anthropic/*"], 0)):
            limit = {"amount": "1", "window": "day", "models": models}
            body = {"scope": scope, "name": name, "kind": "requests", "limit": limit}
            found = await done(stand, "POST", "limits", body)
            assert (found["models"], found["used"], found["remaining"]) == (models, used, 1 - used), (scope, models)
    assert (await chat(stand, made["token"])).status == 402


async def test_the_state_of_a_user_is_named_whatever_they_use(stand: Stand) -> None:
    made = await done(stand, "POST", "users", {"name": "bo", "settings": {"limits": {"cost": "$1/day"}}, "token": {}})
    before = (await ask(stand, "GET", "users/bo")).header("ETag")
    limits = (await ask(stand, "GET", f"limits/{made['limits'][0]['id']}")).header("ETag")
    assert (await chat(stand, made["token"])).status == 200
    assert (await ask(stand, "GET", "users/bo")).header("ETag") == before
    assert (await ask(stand, "GET", f"limits/{made['limits'][0]['id']}")).header("ETag") == limits
    assert (await ask(stand, "PATCH", "users/bo", {"disabled": True}, headers=[("If-Match", before)])).status == 200
    assert (await chat(stand, made["token"])).status == 403
    answer = await ask(stand, "PATCH", "users/bo", {"disabled": False}, headers=[("If-Match", before)])
    assert answer.status == 412


async def test_what_the_file_leaves_open_is_set_and_what_it_decides_is_named_with_its_line(stand: Stand) -> None:
    anna = {"limits": {"requests": "2/hour"}, "max_tokens": 7}
    await done(stand, "PATCH", "users/anna", {"settings": anna})
    shown = await done(stand, "GET", "users/anna")
    assert {each["limit"]: each["source"] for each in shown["limits"]} == {"$5/day": "config", "2/hour": "database"}
    assert (shown["settings"]["max_tokens"], shown["source"], shown["in_database"]) == (7, "config", True)
    answers = [await chat(stand, token_of("anna")) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 402]
    cases: list[tuple[str, str, Any, str]] = [
        ("PATCH", "users/anna", {"settings": {"models": ["x/*"]}}, "users.anna.models"),
        ("PATCH", "users/anna", {"group": None}, "users.anna.group"),
        ("PATCH", "users/anna", {"settings": {"limits": {"cost": "$9/day"}}}, "users.anna.limits.cost"),
        ("PATCH", "users/stopped", {"disabled": False}, "users.stopped.disabled"),
        ("DELETE", "users/stopped", None, "users.stopped"),
        ("PATCH", "groups/family", {"settings": {"limits": {"cost": "$9/month"}}}, "groups.family.limits.cost"),
        ("DELETE", "groups/family", None, "groups.family"),
        ("POST", "limits", {"scope": "all", "kind": "cost", "limit": "$9/month"}, "limits.cost"),
        ("POST", "limits", {"scope": "user", "name": "anna", "kind": "cost", "limit": "$9/day"}, "users.anna.limits"),
    ]
    for method, path, body, setting in cases:
        status, code, param, text = await refused(stand, method, path, body)
        assert (status, code) == (409, "set_in_file"), (method, path, text)
        assert param.startswith(setting)
        assert "config.yaml:" in text
    await done(stand, "PATCH", "users/anna", {"disabled": True})
    assert (await chat(stand, token_of("anna"))).status == 403
    removed = await done(stand, "DELETE", "users/anna")
    assert removed["in_database"]
    assert (await done(stand, "GET", "users/anna"))["settings"].keys() == {"limits", "models"}
    assert (await chat(stand, token_of("anna"))).status == 200


async def test_groups_hold_their_members_together_and_are_not_removed_in_silence(stand: Stand) -> None:
    await done(
        stand, "POST", "groups", {"name": "a/b".replace("/", "+"), "settings": {"limits": {"requests": "2/day"}}}
    )
    await done(stand, "POST", "groups", {"name": "team", "settings": {"parent": "a+b"}})
    tokens = {}
    for name in ("bo", "eva"):
        made = await done(stand, "POST", "users", {"name": name, "group": "a+b", "token": {}})
        tokens[name] = made["token"]
    statuses = [(await chat(stand, tokens[name])).status for name in ("bo", "eva", "bo")]
    assert statuses == [200, 200, 402]
    below = await done(stand, "POST", "users", {"name": "kim", "group": "team", "token": {}})
    assert (await chat(stand, below["token"])).status == 402
    shown = await done(stand, "GET", "groups/a%2Bb")
    assert (shown["members"], shown["children"]) == (["bo", "eva"], ["team"])
    assert [(each["used"], each["remaining"]) for each in shown["limits"]] == [(2, 0)]
    status, code, param, text = await refused(stand, "DELETE", "groups/a%2Bb")
    assert (status, code, param) == (409, "group_in_use", "force")
    assert "bo, eva, group team" in text
    for settings, status in (({"parent": "team"}, 422), ({"parent": "nobody"}, 404), ({"parent": "a+b"}, 422)):
        assert (await refused(stand, "PATCH", "groups/a%2Bb", {"settings": settings}))[0] == status
    await done(stand, "DELETE", "groups/a%2Bb?force=true")
    assert (await chat(stand, tokens["bo"])).status == 200
    assert (await done(stand, "GET", "users/bo"))["group"] is None
    assert (await done(stand, "GET", "groups/team"))["settings"] == {}


async def test_limits_are_added_changed_and_removed_on_every_scope(stand: Stand) -> None:
    await done(stand, "POST", "users", {"name": "bo", "token": {}})
    whose = [("all", None), ("each_user", None), ("user", "bo"), ("group", "family"), ("use_case", "sms")]
    for scope, name in whose:
        body = {"scope": scope, "name": name, "kind": "requests", "limit": {"amount": "3", "window": "day"}}
        made = await done(stand, "POST", "limits", body)
        assert (made["scope"], made["name"], made["limit"], made["source"]) == (scope, name, "3/day", "database")
        assert (made["used"] is None) == (scope == "each_user")
        status, _, _, text = await refused(stand, "POST", "limits", body)
        assert (status, "already: 3/day" in text) == (400, True)
        changed = await done(stand, "PATCH", f"limits/{made['id']}", {"limit": "4/day"})
        assert (changed["id"], changed["amount"]) == (made["id"], 4)
        listed = await done(stand, "GET", f"limits?scope={scope}&kind=requests")
        assert [each["id"] for each in listed] == [made["id"]]
    everything = await done(stand, "GET", "limits")
    assert len({each["id"] for each in everything}) == len(everything) == 10
    assert sum(each["source"] == "config" for each in everything) == 5
    for each in everything:
        answer = await ask(stand, "DELETE", f"limits/{each['id']}")
        assert answer.status == (200 if each["source"] == "database" else 409)
    assert len(await done(stand, "GET", "limits")) == 5


BAD: list[tuple[str, Any, int, str]] = [
    ("users", {"name": "no blanks"}, 400, "cannot be the name of a user:"),
    ("users", {"name": "x", "settings": {"expires_at": "2001-01-01T00:00:00Z"}}, 422, "has passed already"),
    ("users", {"name": "x", "token": {"expires_at": "2001-01-01T00:00:00Z"}}, 422, "has passed already"),
    ("users", {"name": "x", "settings": {"colour": "red"}}, 400, "'colour' cannot be set"),
    (
        "users",
        {"name": "x", "settings": {"limits": {"cost": ["$5/day", "$6/day"]}}},
        400,
        "has two limits over day",
    ),
    ("users", {"name": "x", "settings": {"max_tokens": 0}}, 400, "settings.max_tokens: must be at least 1"),
    ("users", {"name": "x", "settings": {"limits": {"cost": "$0.0000000000001/day"}}}, 400, "twelve decimals"),
    ("users", {"name": "x", "settings": {"default_preset": "text"}}, 422, 'Did you mean "texts"?'),
    ("users", {"name": "x", "settings": {"use_cases": {"sms": "nowhere"}}}, 422, 'no preset "nowhere"'),
    ("groups", {"name": "x", "settings": {"use_cases": {"sms": "nowhere"}}}, 422, "settings.use_cases.sms"),
    ("users", {"name": "x", "settings": {"parameters": {"seed": 10**30}}}, 400, "at most 64 bits"),
    ("users", {"name": "x", "settings": {"parameters": {"stop": [{"at": -(2**64)}]}}}, 400, "at most 64 bits"),
    ("users", {"name": "x", "settings": {"parameters": {"top_p": math.inf}}}, 400, "numbers that JSON can carry"),
    ("groups", {"name": "family"}, 400, "exists already"),
    ("groups", {"name": "x", "settings": {"parent": "famly"}}, 404, 'Did you mean "family"?'),
    ("limits", {"scope": "user", "name": "nobody", "kind": "cost", "limit": "$5"}, 404, "no user 'nobody'"),
    ("limits", {"scope": "group", "name": "famly", "kind": "cost", "limit": "$5"}, 404, 'Did you mean "family"?'),
    ("limits", {"scope": "all", "kind": "cost", "limit": "$5/dya"}, 400, 'Did you mean "day"?'),
    ("limits", {"scope": "all", "kind": "concurrency", "limit": "4/day"}, 400, "has no window"),
    ("limits", {"scope": "all", "name": "x", "kind": "cost", "limit": "$5"}, 400, "have none"),
    (
        "limits",
        {"scope": "all", "kind": "cost", "limit": {"amount": "$5", "on_spent": "downgrade: nowhere"}},
        422,
        'no preset "nowhere"',
    ),
]


async def test_what_nobody_can_have_is_refused_and_changes_nothing(stand: Stand) -> None:
    await done(stand, "POST", "users", {"name": "bo"})
    before = [await done(stand, "GET", path) for path in ("users", "groups", "limits")]
    assert (await refused(stand, "PATCH", "users/bo", {"group": "no blanks"}))[0] == 400
    assert (await ask(stand, "POST", "users/set", {"name": "bo", "changes": {"group": "no blanks"}})).status == 400
    for path, body, status, text in BAD:
        found = await refused(stand, "POST", path, body)
        assert found[0] == status, (body, found)
        assert text in found[3], (body, found)
    assert [await done(stand, "GET", path) for path in ("users", "groups", "limits")] == before
