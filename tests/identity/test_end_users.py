"""People behind a service: who is believed, whose limits hold, what a restart knows."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import jwt
import pytest

from proxy.config.schema import Settings
from proxy.jobs.retention import configured_quotas
from proxy.policy.quota import Quota
from tests.quotas.place import START, Place, body_of, cost, error_of, ms_of, user
from tests.support.installation import token_hash_of
from tests.support.raw import Answer
from tests.support.stand import CHAT, MODEL

Open = Callable[..., Awaitable[Place]]
Headers = list[tuple[str, str]]

SECRET = "0123456789abcdef" * 2
NOW_S = ms_of(START) // 1000
EMAIL, ID, JWT = "X-OpenWebUI-User-Email", "X-OpenWebUI-User-Id", "X-OpenWebUI-User-Jwt"


def base(**end_users: Any) -> dict[str, Any]:
    """Give a configuration with one trusted token, webui's, and one that is not, anna's."""
    webui = {"tokens": [{"hash": token_hash_of("webui"), "name": "open-webui", "trusted": True}]}
    return {"users": {"webui": webui, "anna": user("anna")}, "end_users": end_users}


def signed(claims: Mapping[str, Any] | None = None, secret: str = SECRET, algorithm: str | None = "HS256") -> str:
    """Sign as Open WebUI does."""
    given = {"sub": "id-1", "email": "eva@example.com", "role": "user", "iss": "open-webui", "iat": NOW_S}
    return jwt.encode({**given, "exp": NOW_S + 300, **(claims or {})}, secret, algorithm=algorithm)


async def chat(place: Place, who: str, headers: Headers, **fields: Any) -> Answer:
    return await place.ask(who, "POST", CHAT, body_of(**fields), headers=headers)


async def users(place: Place) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in await place.operate("users.list", {})}


async def sent_upstream(place: Place) -> str:
    """Give all that the provider got to see, in lower case."""
    return json.dumps(await place.sim.requests()).lower()


# --- who is believed


async def test_a_trusted_token_names_its_end_users(opened: Open) -> None:
    place = await opened(base())
    for name in ("eva@example.com", "eva+work@example.com", "eva@example.com"):
        assert (await chat(place, "webui", [(EMAIL, name), (ID, "id-1")])).status == 200
    assert (await chat(place, "webui", [(ID, "id-2")])).status == 200
    assert (await chat(place, "webui", [])).status == 200
    assert [(row["user"], row["token_id"]) for row in place.rows()] == [
        ("eva@example.com", "open-webui"),
        ("eva+work@example.com", "open-webui"),
        ("eva@example.com", "open-webui"),
        ("id-2", "open-webui"),
        ("webui", "open-webui"),
    ]
    found = await users(place)
    assert {name: row["made_by"] for name, row in found.items()} == dict.fromkeys(
        ("eva@example.com", "eva+work@example.com", "id-2"), "open-webui"
    )
    assert "openwebui" not in await sent_upstream(place)
    assert "example.com" not in await sent_upstream(place)
    await place.check_books()


@pytest.mark.parametrize("secret", [None, SECRET])
async def test_a_header_from_any_other_token_is_ignored_and_stays_here(opened: Open, secret: str | None) -> None:
    """Also where a JWT would be believed, and none came."""
    place = await opened(base(jwt_secret=secret))
    unread: Headers = [(JWT, signed())] if secret is None else []
    answer = await chat(place, "anna", [(EMAIL, "eva@example.com"), (ID, "id-1"), *unread])
    assert answer.status == 200
    assert [row["user"] for row in place.rows()] == ["anna"]
    assert await users(place) == {}
    seen = await sent_upstream(place)
    assert "openwebui" not in seen
    assert "eva@" not in seen


async def test_any_configured_header_names(opened: Open) -> None:
    place = await opened(base(user_header="X-End-User"))
    await chat(place, "webui", [("x-end-user", "eva"), (EMAIL, "nobody")])
    assert [row["user"] for row in place.rows()] == ["eva"]
    assert "eva" not in await sent_upstream(place)


@pytest.mark.parametrize("who", ["anna", "webui"])
async def test_a_signed_name_is_believed_with_any_token(opened: Open, who: str) -> None:
    place = await opened(base(jwt_secret=SECRET))
    answer = await chat(place, who, [(JWT, signed()), (EMAIL, "mallory"), (ID, "mallory")])
    assert answer.status == 200
    assert (await chat(place, who, [(JWT, signed({"email": "no name"}))])).status == 200
    assert [row["user"] for row in place.rows()] == ["eva@example.com", "id-1"]
    assert "openwebui" not in await sent_upstream(place)


NOT_BELIEVED: dict[str, tuple[str, str]] = {
    "expired": (signed({"exp": NOW_S}), "has expired"),
    "long expired": (signed({"exp": NOW_S - 10**6}), "has expired"),
    "without an end": (signed({"exp": None}), "has no exp"),
    "an end that is no number": (signed({"exp": "never"}), "has no exp"),
    "an end that is true": (signed({"exp": True}), "has no exp"),
    "an end at infinity": (signed({"exp": float("inf")}), "has no exp"),
    "not yet": (signed({"nbf": NOW_S + 60}), "is not valid yet"),
    "another secret": (signed(secret="f" * 32), "another secret"),
    "another hash": (signed(algorithm="HS512", secret=SECRET * 2), "is not signed with HS256"),
    "not signed": (signed(algorithm=None, secret=""), "is not signed with HS256"),
    "no name": (signed({"email": "a b", "sub": ["id"]}), "no usable name in email, sub"),
    "no JWT": ("eva@example.com", "is not a JWT"),
    "empty": ("", "is not a JWT"),
    "cut off": (signed()[:-20], "another secret"),
    "a head of brackets": ("W1tb" * 1500 + ".e30.e30", "is not a JWT"),
}


@pytest.mark.parametrize("who", ["anna", "webui"])
async def test_a_jwt_that_does_not_hold_is_refused(opened: Open, who: str) -> None:
    place = await opened(base(jwt_secret=SECRET))
    for case, (given, text) in NOT_BELIEVED.items():
        answer = await chat(place, who, [(JWT, given), (EMAIL, "eva@example.com")])
        assert (answer.status, error_of(answer)["code"]) == (401, "invalid_user_jwt"), case
        message = error_of(answer)["message"]
        assert text in message, case
        assert JWT in message
        assert SECRET not in message
    answer = await chat(place, who, [(JWT, signed()), (JWT, signed({"sub": "id-2"}))])
    assert (answer.status, error_of(answer)["code"]) == (401, "invalid_user_jwt")
    assert (place.rows(), await place.sim.requests(), await users(place)) == ([], [], {})


async def test_a_jwt_ends_by_this_machines_clock(opened: Open) -> None:
    place = await opened(base(jwt_secret=SECRET))
    given: Headers = [(JWT, signed({"exp": NOW_S + 1}))]
    assert (await chat(place, "anna", given)).status == 200
    place.move_to(START, 999)
    assert (await chat(place, "anna", given)).status == 200
    place.move_to(START, 1000)
    assert (await chat(place, "anna", given)).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        [(EMAIL, "a b")],
        [(EMAIL, "x" * 65), (ID, "{{LIBRECHAT_USER_ID}}")],
        [(EMAIL, "eva"), (EMAIL, "bob")],
        [(ID, "eva"), (ID, "bob")],
    ],
)
async def test_a_name_that_is_none_is_refused_and_never_booked_to_the_service(opened: Open, headers: Headers) -> None:
    place = await opened(base())
    answer = await chat(place, "webui", headers)
    assert (answer.status, error_of(answer)["code"]) == (400, "invalid_end_user")
    assert place.rows() == []


async def test_an_empty_header_names_nobody_and_a_second_one_may_help(opened: Open) -> None:
    place = await opened(base())
    assert (await chat(place, "webui", [(EMAIL, "")])).status == 200
    assert (await chat(place, "webui", [(EMAIL, "Eva Ek <eva@example.com>"), (ID, "id-1")])).status == 200
    assert [row["user"] for row in place.rows()] == ["webui", "id-1"]


async def test_trust_is_given_and_taken(opened: Open) -> None:
    place = await opened(base())
    await place.operate("users.add", {"name": "chat"})
    token = await place.operate("tokens.add", {"user": "chat", "trusted": True})
    eva: Headers = [(EMAIL, "eva")]
    assert (await chat(place, token["token"], eva)).status == 200
    rotated = await place.operate("tokens.rotate", {"id": token["id"], "overlap_ms": 10**9})
    assert (await chat(place, rotated["token"], eva)).status == 200
    await place.operate("tokens.set", {"id": rotated["id"], "changes": {"trusted": False}})
    assert (await chat(place, rotated["token"], eva)).status == 200
    assert [(row["user"], row["token_id"]) for row in place.rows()] == [
        ("eva", token["id"]),
        ("eva", rotated["id"]),
        ("chat", rotated["id"]),
    ]


# --- whose limits hold


async def test_each_has_quotas_of_their_own_and_they_are_exact(opened: Open) -> None:
    """Bursts of three end users at once, each of whom is new: exactly as many pass as there is room for."""
    place = await opened(base(limits={"requests": "5/day"}))
    names = ["eva", "bob", "kim"]
    asked = [(name, chat(place, "webui", [(EMAIL, name)])) for _ in range(12) for name in names]
    answers = await asyncio.gather(*(one for _, one in asked))
    for name in names:
        mine = [answer.status for (whose, _), answer in zip(asked, answers, strict=True) if whose == name]
        assert (mine.count(200), mine.count(402)) == (5, 7), name
    assert sorted(await users(place)) == sorted(names)
    assert [row["user"] for row in place.rows()].count("bob") == 5
    assert (await chat(place, "webui", [])).status == 200, "the service itself has no such limit"
    await place.check_books()


async def test_money_is_exact_and_survives_a_restart(opened: Open) -> None:
    place = await opened(base(limits={"cost": cost(10**11)}))
    await place.charge(3 * 10**10)
    eva: Headers = [(EMAIL, "eva@example.com")]
    for _ in range(3):
        assert (await chat(place, "webui", eva)).status == 200
    limits = (await place.ask("webui", "GET", "/v1/me/limits", headers=eva)).json()
    assert [(row["scope"], row["used_pusd"], row["remaining"]) for row in limits["limits"]] == [
        ("user:eva@example.com", 9 * 10**10, "0.01")
    ]
    await place.restart()
    assert (await place.ask("webui", "GET", "/v1/me/limits", headers=eva)).json() == limits
    assert (await users(place))["eva@example.com"]["made_by"] == "open-webui"
    await place.charge(10**10)
    assert (await chat(place, "webui", eva)).status == 200
    answer = await chat(place, "webui", eva)
    assert (answer.status, error_of(answer)["code"]) == (402, "insufficient_quota")
    assert (await chat(place, "webui", [(EMAIL, "bob")])).status == 200
    await place.check_books()


async def test_own_then_template_then_group_then_defaults(opened: Open) -> None:
    levels = {
        **base(group="family", limits={"cost": "$1/day"}, models=[MODEL]),
        "defaults": {"limits": {"cost": "$2/day", "requests": "60/minute"}, "models": ["*"], "max_tokens": 900},
        "groups": {"family": {"limits": {"cost": "$50/month"}, "max_tokens": 500}, "guests": {}},
    }
    place = await opened(levels)
    eva: Headers = [(EMAIL, "eva")]

    async def shown() -> tuple[set[tuple[str, str, str]], Any, Any]:
        found = (await place.ask("webui", "GET", "/v1/me/limits", headers=eva)).json()
        rows = {(row["scope"], row["kind"], str(row["limit"])) for row in found["limits"]}
        return rows, found["models"], found["max_tokens"]

    template = {("user:eva", "cost", "1"), ("user:eva", "requests", "60"), ("group:family", "cost", "50")}
    assert await shown() == (template, [MODEL], 500), "the same before the first request"
    assert await users(place) == {}
    assert (await chat(place, "webui", eva)).status == 200
    assert await shown() == (template, [MODEL], 500)
    assert (await chat(place, "webui", eva, model="openai/gpt-5-nano")).status == 403
    await place.operate("users.set", {"name": "eva", "changes": {"settings": {"limits": {"cost": "$7"}}}})
    assert (await shown())[0] == {
        ("user:eva", "cost", "7"),
        *(row for row in template if row[:2] != ("user:eva", "cost")),
    }
    await place.operate("users.set", {"name": "eva", "changes": {"group": "guests", "settings": {}}})
    assert await shown() == ({row for row in template if row[0] == "user:eva"}, [MODEL], 900)
    await place.operate("users.set", {"name": "eva", "changes": {"group": None}})
    await place.configure({**levels, "end_users": {"limits": {"requests": "3/day"}}})
    assert await shown() == ({("user:eva", "cost", "2"), ("user:eva", "requests", "3")}, ["*"], 900)


async def test_a_named_user_of_the_configuration_is_that_user(opened: Open) -> None:
    more = base(limits={"requests": "1/day"})
    more["users"]["boss@example.com"] = {"limits": {"requests": "3/day"}}
    more["users"]["gone"] = {"disabled": True}
    more["users"]["over"] = {"expires_at": "2026-01-01T00:00:00Z"}
    place = await opened(more)
    boss = [(await chat(place, "webui", [(EMAIL, "boss@example.com")])).status for _ in range(4)]
    assert boss == [200, 200, 200, 402]
    for name, expected in (("gone", (403, "token_disabled")), ("over", (401, "token_expired"))):
        answer = await chat(place, "webui", [(EMAIL, name)])
        assert (answer.status, error_of(answer)["code"]) == expected
    assert await users(place) == {}


async def test_one_can_be_switched_off_and_removed(opened: Open) -> None:
    place = await opened(base(limits={"requests": "2/day"}))
    eva: Headers = [(EMAIL, "eva")]
    assert (await chat(place, "webui", eva)).status == 200
    await place.operate("users.set", {"name": "eva", "changes": {"disabled": True}})
    assert (await chat(place, "webui", eva)).status == 403
    assert (await place.ask("webui", "GET", "/v1/models", headers=eva)).status == 403
    await place.operate("users.remove", {"name": "eva"})
    assert (await chat(place, "webui", eva)).status == 200
    assert (await chat(place, "webui", eva)).status == 402, "what was spent stayed"


async def test_no_more_than_users_max_are_made(opened: Open) -> None:
    place = await opened(base(users_max=3))
    names = [f"user-{n}" for n in range(9)]
    answers = await asyncio.gather(*(chat(place, "webui", [(EMAIL, name)]) for name in names))
    refused = [error_of(answer)["code"] for answer in answers if answer.status == 403]
    assert refused == ["too_many_end_users"] * 6
    known = await users(place)
    assert len(known) == 3
    assert len(place.rows()) == 3
    for name in known:
        assert (await chat(place, "webui", [(EMAIL, name)])).status == 200
    await place.restart()
    stranger = next(name for name in names if name not in known)
    assert (await chat(place, "webui", [(EMAIL, stranger)])).status == 403
    await place.operate("users.remove", {"name": next(iter(known))})
    assert (await chat(place, "webui", [(EMAIL, stranger)])).status == 200


async def test_reading_makes_nobody(opened: Open) -> None:
    place = await opened(base(models=[MODEL]))
    eva: Headers = [(EMAIL, "eva")]
    listed = (await place.ask("webui", "GET", "/v1/models", headers=eva)).json()
    assert [model["id"] for model in listed["data"]] == [MODEL]
    for path in ("/v1/me/limits", "/v1/me/usage", "/v1/key", "/v1/credits"):
        assert (await place.ask("webui", "GET", path, headers=eva)).status == 200
    assert (await place.ask("webui", "POST", "/v1/explain", body_of(), headers=eva)).json()["user"] == "eva"
    assert await users(place) == {}


async def test_what_is_read_is_the_end_users_own(opened: Open) -> None:
    place = await opened(base())
    answer = await chat(place, "webui", [(EMAIL, "eva")])
    id_ = answer.header("x-request-id")
    path = f"/v1/generation?id={id_}"
    assert (await place.ask("webui", "GET", path, headers=[(EMAIL, "eva")])).status == 200
    assert (await place.ask("webui", "GET", path, headers=[(EMAIL, "bob")])).status == 404
    assert (await place.ask("webui", "GET", path)).status == 404
    used = (await place.ask("webui", "GET", "/v1/me/usage", headers=[(EMAIL, "eva")])).json()
    assert (used["user"], used["requests"]) == ("eva", 1)


def test_their_limits_keep_their_rows() -> None:
    settings = Settings.read({"end_users": {"group": "g", "limits": {"cost": "$5"}}, "groups": {"g": {}}})
    row: dict[str, Any] = {"name": "eva", "group": None, "settings": {}, "disabled": False, "made_by": "tok_1"}
    quotas = configured_quotas(settings, [row, {**row, "name": "bob", "made_by": None}])
    assert quotas == {Quota("user:eva", "cost", 5 * 10**12, "total")}
