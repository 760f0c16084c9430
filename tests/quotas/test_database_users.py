"""Users of the database have the same limits as those of the configuration; defaults, then group, then the user."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy.web.server.sockets import socket_path
from tests.quotas.place import INPUT_PUSD, OUTPUT_PUSD, Place, cost, error_of, user
from tests.support.raw import connect_unix, request_bytes
from tests.support.stand import MODEL

Open = Callable[..., Awaitable[Place]]

RICH = {"rich": user("rich", limits={"cost": "$1000"})}


async def add(place: Place, name: str, settings: dict[str, Any] | None = None, group: str | None = None) -> str:
    """Add a user over the socket, and give the token."""
    await place.operate("users.add", {"name": name, "group": group})
    if settings is not None:
        await place.operate("users.set", {"name": name, "changes": {"settings": settings}})
    token: str = (await place.operate("tokens.add", {"user": name}))["token"]
    return token


async def test_the_same_limits(opened: Open) -> None:
    """Cost to the pico-USD with a clamp, requests, tokens, concurrency, models and the longest answer."""
    place = await opened({"users": RICH})
    prompt = await place.input_tokens(max_tokens=32_000)
    limit = 2 * (prompt * INPUT_PUSD + 1000 * OUTPUT_PUSD)
    token = await add(place, "dora", {"limits": {"cost": cost(limit)}})
    answer = await place.chat(token, max_tokens=32_000)
    assert (answer.status, answer.header("x-tollkeeper-max-tokens")) == (200, "1000")
    spent = (await place.limit(token))["used_pusd"]
    await place.operate("users.set", {"name": "dora", "changes": {"settings": {"limits": {"cost": cost(spent)}}}})
    answer = await place.chat(token)
    assert (answer.status, error_of(answer)["code"]) == (402, "insufficient_quota")
    assert 'user "dora" is spent' in error_of(answer)["message"]
    for limits, status in (
        ({"requests": "1/day"}, 402),
        ({"requests": "1/minute"}, 429),
        ({"tokens": "1/day"}, 402),
        ({"cost": {"amount": "$1000"}}, 200),
    ):
        await place.operate("users.set", {"name": "dora", "changes": {"settings": {"limits": limits}}})
        assert (await place.chat(token)).status == status, limits
    before = await place.limits(token)
    await place.restart()
    assert await place.limits(token) == before
    settings = {"models": ["openai/gpt-5*"], "max_tokens": 7}
    await place.operate("users.set", {"name": "dora", "changes": {"settings": settings}})
    assert (await place.chat(token)).status == 403
    answer = await place.chat(token, model="openai/gpt-5-nano")
    assert answer.header("x-tollkeeper-max-tokens") == "7"
    await place.check_books()


async def test_concurrency(opened: Open) -> None:
    place = await opened({"users": RICH})
    token = await add(place, "dora", {"limits": {"concurrency": 1}})
    await place.sim.behave("next", stop_at="after_chunks", stop_after=1, stop_with="hang", hang_ms=300)
    client = await place.begin_chat(token, stream=True)
    await place.arrived(1)
    assert (await place.chat(token)).status == 429
    await client.read_until(b"[DONE]")
    await place.quiet()
    assert (await place.chat(token)).status == 200


@pytest.mark.parametrize("source", ["configuration", "database"])
async def test_defaults_then_group_then_user(opened: Open, source: str) -> None:
    """Kind by kind the user's own limits, else those of defaults; a group's hold for its members together."""
    levels = {
        "defaults": {"limits": {"cost": "$2/day", "requests": "60/minute"}, "models": ["openai/*"], "max_tokens": 900},
        "groups": {
            "family": {"limits": {"cost": "$50/month"}, "models": [MODEL, "openai/gpt-5"], "max_tokens": 500},
            "guests": {},
        },
        "limits": {"cost": "$200/month"},
    }
    people: dict[str, tuple[str | None, dict[str, Any]]] = {
        "plain": (None, {}),
        "guest": ("guests", {}),
        "member": ("family", {}),
        "own": ("family", {"limits": {"cost": "$5/day"}, "models": [MODEL], "max_tokens": 30}),
    }
    tokens = {}
    if source == "configuration":
        users = {
            name: user(name, **({"group": group} if group else {}), **own) for name, (group, own) in people.items()
        }
        place = await opened({**levels, "users": users})
        tokens = {name: name for name in people}
    else:
        place = await opened(levels)
        for name, (group, own) in people.items():
            tokens[name] = await add(place, name, own, group)
    expected: dict[str, tuple[list[tuple[str, str, str]], list[str], int]] = {
        "plain": ([("all", "month", "200"), ("user:plain", "day", "2")], ["openai/*"], 900),
        "guest": ([("all", "month", "200"), ("user:guest", "day", "2")], ["openai/*"], 900),
        "member": (
            [("group:family", "month", "50"), ("all", "month", "200"), ("user:member", "day", "2")],
            [MODEL, "openai/gpt-5"],
            500,
        ),
        "own": ([("group:family", "month", "50"), ("all", "month", "200"), ("user:own", "day", "5")], [MODEL], 30),
    }
    for name, (limits, models, max_tokens) in expected.items():
        shown = (await place.ask(tokens[name], "GET", "/v1/me/limits")).json()
        assert [
            (row["scope"], row["window"], row["limit"]) for row in shown["limits"] if row["kind"] == "cost"
        ] == limits
        assert [(row["scope"], row["limit"]) for row in shown["limits"] if row["kind"] == "requests"] == [
            (f"user:{name}", 60)
        ]
        assert (shown["models"], shown["max_tokens"]) == (models, max_tokens)
        answer = await place.chat(tokens[name], max_tokens=1000)
        assert answer.header("x-tollkeeper-max-tokens") == str(max_tokens)


async def test_a_change_keeps_what_was_spent(opened: Open) -> None:
    place = await opened({"users": RICH, "groups": {"family": {"limits": {"cost": "$1"}}}})
    token = await add(place, "dora", {"limits": {"cost": "$1"}}, "family")
    await place.charge(10**11)
    assert (await place.chat(token)).status == 200
    for limits in ({"cost": "$2/day"}, {}, {"cost": "$0.05"}, {"cost": "$3/month"}):
        await place.operate("users.set", {"name": "dora", "changes": {"settings": {"limits": limits}}})
        rows = {row["scope"]: row["used_pusd"] for row in await place.limits(token)}
        assert rows == {"group:family": 10**11, **({"user:dora": 10**11} if limits else {})}
    await place.operate("users.set", {"name": "dora", "changes": {"group": None}})
    assert {row["scope"] for row in await place.limits(token)} == {"user:dora"}
    await place.operate("users.remove", {"name": "dora"})
    token = await add(place, "dora", {"limits": {"cost": "$1"}}, "family")
    assert {row["scope"]: row["used_pusd"] for row in await place.limits(token)} == {
        "group:family": 10**11,
        "user:dora": 10**11,
    }


async def test_a_mistake_changes_nothing(opened: Open) -> None:
    place = await opened({"users": RICH})
    token = await add(place, "dora", {"limits": {"cost": "$1"}})
    path = socket_path(place.folder / "ledger.db")
    assert path is not None
    mistakes: list[dict[str, Any]] = [
        {"limits": {"cost": "much"}},
        {"limits": {"rpm": 3}},
        {"models": []},
        {"max_tokens": 0},
    ]
    for settings in mistakes:
        fields = {"name": "dora", "changes": {"settings": settings}}
        async with await connect_unix(str(path)) as client:
            await client.send(request_bytes("POST", "/admin/v1/users/set", fields))
            answer = await client.read_answer()
        assert (answer.status, error_of(answer)["code"]) == (400, "invalid_change"), settings
    assert (await place.limit(token))["limit"] == "1"
