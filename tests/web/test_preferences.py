"""/v1/me/preferences: what users set for themselves, where the operator lets them; in force at the next request."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from proxy.storage.audit import Actor
from tests.support.installation import token_hash_of, token_of
from tests.support.raw import Answer
from tests.support.stand import MESSAGES, Stand
from tests.support.stand import stand as run_stand

PATH = "/v1/me/preferences"
DEAR, CHEAP = "openai/gpt-4o", "openai/gpt-5-nano"
USERS: dict[str, Any] = {
    "closed": {},
    "hasty": {"preferences": True},
    "open": {"preferences": True, "default_model": DEAR, "parameters": {"temperature": 1, "seed": 3}},
    "member": {"group": "team", "models": [CHEAP, "two"]},
}
MORE = {
    "presets": {"two": [CHEAP]},
    "groups": {"team": {"preferences": True}},
    "users": {name: {"token_hash": token_hash_of(name), **more} for name, more in USERS.items()},
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with run_stand(tmp_path_factory.mktemp("preferences"), MORE) as found:
        yield found


pytestmark = pytest.mark.asyncio(loop_scope="module")
JSON = ("Content-Type", "application/json")


async def ask(stand: Stand, user: str, method: str, body: Any = None, *headers: tuple[str, str]) -> Answer:
    more = [JSON, *headers] if body is not None else list(headers)
    return await stand.ask(method, PATH, body, token=token_of(user), headers=more)


async def chat(stand: Stand, user: str, **body: Any) -> Answer:
    return await stand.ask("POST", "/v1/chat/completions", {"messages": MESSAGES, **body}, token=token_of(user))


async def test_only_those_whom_the_operator_lets(stand: Stand) -> None:
    for method, body in (("GET", None), ("PUT", {}), ("PATCH", {}), ("DELETE", None)):
        answer = await ask(stand, "closed", method, body)
        assert (answer.status, answer.json()["error"]["code"]) == (403, "preferences_closed")
    assert (await stand.ask("GET", PATH, token="tk-no")).status == 401


async def test_what_is_set_holds_at_the_next_request_and_after_a_restart_of_the_snapshot(stand: Stand) -> None:
    assert (await chat(stand, "open")).header("x-tollkeeper-model") == DEAR
    put = await ask(stand, "open", "PUT", {"default_model": CHEAP, "parameters": {"temperature": 0}})
    assert put.status == 200
    shown = put.json()
    assert shown["preferences"] == {"default_model": CHEAP, "parameters": {"temperature": 0}}
    assert shown["in_force"] == {
        "default_model": CHEAP,
        "parameters": {"temperature": 0, "seed": 3},
        "fallback": True,
        "cheapest": False,
        "use_cases": {},
    }
    assert (await chat(stand, "open")).header("x-tollkeeper-model") == CHEAP
    await stand.app.live.rebuild()
    assert (await chat(stand, "open")).header("x-tollkeeper-model") == CHEAP
    patched = await ask(stand, "open", "PATCH", {"default_model": None, "cheapest": True})
    assert patched.json()["preferences"] == {"parameters": {"temperature": 0}, "cheapest": True}
    assert (await chat(stand, "open")).header("x-tollkeeper-model") == DEAR
    assert (await ask(stand, "open", "DELETE")).json()["preferences"] == {}
    assert (await ask(stand, "open", "DELETE")).status == 200


async def test_nobody_overwrites_what_they_have_not_seen(stand: Stand) -> None:
    tag = (await ask(stand, "open", "GET")).header("etag") or ""
    first = await ask(stand, "open", "PUT", {"cheapest": True}, ("If-Match", tag))
    assert first.status == 200
    late = await ask(stand, "open", "PUT", {"cheapest": False}, ("If-Match", tag))
    assert (late.status, late.json()["error"]["code"]) == (412, "etag_mismatch")
    assert (await ask(stand, "open", "GET")).json()["preferences"] == {"cheapest": True}
    assert (await ask(stand, "open", "DELETE", None, ("If-Match", first.header("etag") or ""))).status == 200


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"models": ["*"]}, 400, "models"),
        ({"limits": {"cost": "$1/day"}}, 400, "limits"),
        ({"default_model": 3}, 400, "default_model"),
        ({"default_model": DEAR}, 403, "default_model"),
        ({"default_preset": "three"}, 400, "default_preset"),
        ({"use_cases": {"sms": "three"}}, 400, "use_cases.sms"),
        ({"default_model": CHEAP, "default_preset": "two"}, 400, "preferences"),
        ({"parameters": {"models": [DEAR]}}, 400, "parameters"),
        ({"parameters": {"max_tokens": 0}}, 400, "parameters"),
        ({"fallback": "perhaps"}, 400, "fallback"),
        ([], 400, None),
    ],
)
async def test_what_is_no_preference_is_refused_by_name(
    stand: Stand, body: Any, status: int, param: str | None
) -> None:
    before = (await ask(stand, "member", "GET")).json()["preferences"]
    answer = await stand.ask("PUT", PATH, _encoded(body), token=token_of("member"), headers=[JSON])
    assert (answer.status, answer.json()["error"]["param"]) == (status, param), answer.body
    assert (await ask(stand, "member", "GET")).json()["preferences"] == before


def _encoded(body: Any) -> Any:
    return b"[]" if body == [] else body


async def test_who_changes_too_often_has_to_wait(stand: Stand) -> None:
    for n in range(30):
        answer = await ask(stand, "hasty", "PUT", {"cheapest": n % 2 == 0})
        if answer.status != 200:
            break
    assert (answer.status, answer.json()["error"]["code"]) == (429, "too_many_changes")
    assert int(answer.header("retry-after") or 0) > 0
    same = (await ask(stand, "hasty", "GET")).json()["preferences"]
    assert (await ask(stand, "hasty", "PUT", same)).status == 200, "what changes nothing costs nothing"


async def test_what_was_set_holds_no_longer_than_the_operator_lets(stand: Stand) -> None:
    fields = {"user": "closed", "settings": {"default_model": CHEAP}}
    await stand.app.change("preferences.set", now_ms=1, actor=Actor("test", "command line"), fields=fields)
    assert (await chat(stand, "closed")).status == 400
    await stand.app.change("preferences.remove", now_ms=2, actor=Actor("test", "command line"), fields=fields)


async def test_changes_stand_in_the_audit_trail(stand: Stand) -> None:
    await ask(stand, "member", "PUT", {"cheapest": True})
    rows = await stand.rows("SELECT actor, source, action, subject, after FROM audit ORDER BY id DESC LIMIT 1")
    assert rows == [
        {
            "actor": f"token {token_hash_of('member')[7:15]}",
            "source": "request",
            "action": "preferences.set",
            "subject": "member",
            "after": '{"cheapest":true}',
        }
    ]
