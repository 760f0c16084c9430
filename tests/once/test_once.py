"""The same Idempotency-Key never bills twice: at once, later, after a restart, after whatever failed."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy.storage.rows import id_number
from tests.quotas.place import Place, body_of, cost, error_of, user
from tests.support.installation import token_hash_of, token_of
from tests.support.patience import eventually
from tests.support.raw import Answer, Client, connect, request_bytes
from tests.support.stand import CHAT

Open = Callable[..., Awaitable[Place]]

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"
TWO = {"users": {"anna": user("anna"), "bob": user("bob")}}
KEYS = "SELECT * FROM idempotency_keys"


async def chat(place: Place, key: str | None = KEY, who: str = "anna", /, **fields: Any) -> Answer:
    headers = [] if key is None else [("Idempotency-Key", key)]
    return await place.ask(who, "POST", CHAT, body_of(**fields), headers=headers)


async def begin(place: Place, key: str = KEY, /, **fields: Any) -> Client:
    """Send a request and give its connection, once the provider has it."""
    client = await connect(place.app.port)
    place.clients.append(client)
    headers = [("Idempotency-Key", key)]
    await client.send(request_bytes("POST", CHAT, body_of(**fields), token=token_of("anna"), headers=headers))
    return client


async def upstream(place: Place) -> int:
    return len(await place.sim.requests())


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, error_of(answer)["code"]


def ids(place: Place) -> list[str]:
    return [row["request_id"] for row in place.rows()]


# --- at once


@pytest.mark.parametrize("lane", [True, False])
async def test_fifty_at_once_are_one(opened: Open, lane: bool) -> None:
    place = await opened({"server": {"fast_path": lane}})
    await place.sim.behave("all", delay_ms=200)
    answers = await asyncio.gather(*(chat(place) for _ in range(50)))
    assert [answer.status for answer in answers] == [200] * 50
    assert len({answer.body for answer in answers}) == 1
    assert sorted(answer.header("x-tollkeeper-joined") or "" for answer in answers) == [""] + ["1"] * 49
    (row,) = place.rows()
    assert {answer.header("x-request-id") for answer in answers} == {row["request_id"]}
    assert {answer.header("x-tollkeeper-cost-usd") for answer in answers} != {None}
    assert (await upstream(place), row["state"]) == (1, "settled")
    assert not place.app.services.claims
    await place.check_books()


async def test_fifty_streams_at_once_are_one_and_the_others_are_told(opened: Open) -> None:
    place = await opened()
    await place.sim.behave("all", delay_ms=200)
    answers = await asyncio.gather(*(chat(place, stream=True) for _ in range(50)))
    refused = [answer for answer in answers if answer.status != 200]
    assert len(refused) == 49
    (row,) = place.rows()
    for answer in refused:
        assert told(answer) == (409, "idempotency_in_flight")
        assert row["request_id"] in error_of(answer)["message"]
        assert answer.json()["request_id"] == row["request_id"]
        assert answer.header("Retry-After") == "2"
    assert await upstream(place) == 1
    await place.check_books()


async def test_those_that_join_share_a_failure_too(opened: Open) -> None:
    """A provider that is down is not asked fifty times; what the SDKs then try again is asked again, once."""
    place = await opened()
    for fault in ({"error": "overloaded", "delay_ms": 200}, {"stop_at": "before_headers", "stop_with": "rst"}):
        await place.sim.forget()
        await place.sim.behave("all", **fault)
        answers = await asyncio.gather(*(chat(place, "again") for _ in range(10)))
        assert len({(answer.status, answer.body) for answer in answers}) == 1
        assert answers[0].status >= 500
        break_ = place.rows()[-1]
        assert await upstream(place) == break_["attempts"]  # those of one request
        assert {answer.header("x-request-id") for answer in answers} == {break_["request_id"]}


async def test_padding_does_not_keep_others_from_the_answer(opened: Open) -> None:
    place = await opened()
    await place.sim.behave("next", padding_units=3, pace_ms=40)
    first, second = await asyncio.gather(chat(place), chat(place))
    joined = next(answer for answer in (first, second) if answer.header("x-tollkeeper-joined"))
    plain = next(answer for answer in (first, second) if not answer.header("x-tollkeeper-joined"))
    assert plain.body[:1].isspace(), "the head of the first one went out before there was an answer"
    assert plain.body.lstrip() == joined.body
    assert json.loads(joined.body)["choices"]
    assert await upstream(place) == 1


async def test_whoever_asks_again_after_hanging_up_gets_the_answer(opened: Open) -> None:
    """What an SDK does whose own time-out was shorter than the model."""
    place = await opened()
    await place.sim.behave("next", delay_ms=400)
    client = await begin(place)
    await place.arrived(1)
    await client.hang_up()
    answer = await chat(place)
    assert (answer.status, answer.header("x-tollkeeper-joined")) == (200, "1")
    (row,) = place.rows()
    assert (row["status"], row["state"]) == (499, "settled")
    answer = await chat(place)
    assert told(answer) == (409, "idempotency_finished")
    assert "hung up" in error_of(answer)["message"]
    assert await upstream(place) == 1
    await place.check_books()


async def test_one_that_waits_may_hang_up(opened: Open) -> None:
    place = await opened()
    await place.sim.behave("next", delay_ms=300)
    first = await begin(place)
    await place.arrived(1)
    second = await begin(place)

    async def joined() -> bool:
        (claim,) = place.app.services.claims._claims.values()
        return len(claim._waiting) == 1

    await eventually(joined)
    await second.hang_up()
    await place.quiet(left=1)
    assert (await first.read_answer()).status == 200
    assert len(place.rows()) == 1


# --- later


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("restart", [False, True])
async def test_what_is_over_is_not_done_again(opened: Open, stream: bool, restart: bool) -> None:
    place = await opened()
    assert (await chat(place, stream=stream)).status == 200
    if restart:
        await place.restart()
    (id_,) = ids(place)
    for _ in range(3):
        answer = await chat(place, stream=stream)
        assert told(answer) == (409, "idempotency_finished")
        message = error_of(answer)["message"]
        assert id_ in message
        assert "status 200" in message
        assert (answer.header("x-request-id"), answer.header("x-should-retry")) == (id_, "false")
    shown = await place.ask("anna", "GET", f"/v1/generation?id={id_}")
    assert shown.status == 200
    assert await upstream(place) == 1
    assert ids(place) == [id_]
    await place.check_books()


async def test_another_body_is_refused_while_it_runs_and_later(opened: Open) -> None:
    place = await opened()
    await place.sim.behave("next", delay_ms=300)
    first = await begin(place)
    await place.arrived(1)

    async def refused() -> None:
        answer = await chat(place, temperature=1)
        assert told(answer) == (422, "idempotency_key_reused")
        elsewhere = {"model": "openai/gpt-3.5-turbo-instruct", "prompt": "Say something."}
        answer = await place.ask("anna", "POST", "/v1/completions", elsewhere, headers=[("Idempotency-Key", KEY)])
        assert told(answer) == (422, "idempotency_key_reused")

    await refused()
    assert (await first.read_answer()).status == 200
    await refused()
    await place.restart()
    answer = await chat(place, temperature=1)
    assert told(answer) == (422, "idempotency_key_reused")
    assert ids(place)[0] in error_of(answer)["message"]
    assert await upstream(place) == 1


async def test_order_and_space_make_no_other_body(opened: Open) -> None:
    place = await opened()
    body = body_of(metadata={"b": "1", "a": "2"})
    assert (await chat(place, metadata={"b": "1", "a": "2"})).status == 200
    turned = {**dict(reversed(body.items())), "metadata": {"a": "2", "b": "1"}}
    for raw in (json.dumps(turned).encode(), json.dumps(turned, indent=3).encode()):
        answer = await place.ask("anna", "POST", CHAT, raw, headers=[("Idempotency-Key", KEY)])
        assert told(answer) == (409, "idempotency_finished")


async def test_a_key_is_the_users_own(opened: Open) -> None:
    place = await opened(TWO)
    assert [(await chat(place, KEY, who)).status for who in ("anna", "bob", "anna")] == [200, 200, 409]
    assert [row["user"] for row in place.rows()] == ["anna", "bob"]


async def test_a_key_of_an_end_user_is_theirs(opened: Open) -> None:
    webui = {"tokens": [{"hash": token_hash_of("webui"), "trusted": True}]}
    place = await opened({"users": {"webui": webui}})
    for name, status in (("eva", 200), ("bob", 200), ("eva", 409)):
        headers = [("Idempotency-Key", KEY), ("X-OpenWebUI-User-Id", name)]
        assert (await place.ask("webui", "POST", CHAT, body_of(), headers=headers)).status == status


async def test_without_the_header_nothing_is_noted(opened: Open) -> None:
    place = await opened()
    for _ in range(2):
        assert (await chat(place, None)).status == 200
    assert place.rows(KEYS) == []
    assert await upstream(place) == 2


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 256, "\x01"])
async def test_what_is_no_key_is_refused(opened: Open, key: str) -> None:
    place = await opened()
    answer = await chat(place, key)
    assert answer.status == 400
    assert place.rows() == []


async def test_two_keys_are_refused(opened: Open) -> None:
    place = await opened()
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = await place.ask("anna", "POST", CHAT, body_of(), headers=headers)
    assert told(answer) == (400, "invalid_header")


# --- after a failure

UNBILLED: dict[str, dict[str, Any]] = {
    "overloaded": {"error": "overloaded"},
    "server error": {"error": "server-error"},
    "rate limit": {"error": "upstream-rate-limit"},
    "refused before it works": {"error": "no-endpoints"},
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", UNBILLED)
async def test_what_failed_and_cost_nothing_runs_anew(opened: Open, case: str, stream: bool) -> None:
    place = await opened()
    await place.sim.behave("next", **UNBILLED[case])
    failed = await chat(place, stream=stream)
    assert failed.status >= 400
    await place.restart()
    assert (await chat(place, stream=stream)).status == 200
    assert [(row["state"], row["cost_pusd"] == 0) for row in place.rows()] == [("released", True), ("settled", False)]
    assert told(await chat(place, stream=stream)) == (409, "idempotency_finished")
    assert (await upstream(place), len(place.rows(KEYS))) == (2, 1)
    await place.check_books()


MAYBE_BILLED: dict[str, dict[str, Any]] = {
    "silent": {"stop_at": "before_headers", "stop_with": "rst"},
    "within the answer": {"stop_at": "after_bytes", "stop_after": 200, "stop_with": "rst"},
}


@pytest.mark.parametrize("case", MAYBE_BILLED)
async def test_what_failed_and_may_be_billed_does_not(opened: Open, case: str) -> None:
    place = await opened()
    await place.sim.behave("next", **MAYBE_BILLED[case])
    failed = await chat(place)
    assert failed.status >= 500
    answer = await chat(place)
    assert answer.status == 409
    await place.quiet()
    answer = await chat(place)
    (row,) = place.rows()
    assert (row["state"], row["cost_pusd"] > 0) == ("settled", True)
    assert told(answer) == (409, "idempotency_finished")
    assert row["request_id"] in error_of(answer)["message"]
    assert await upstream(place) == 1


async def test_while_a_figure_is_awaited_it_is_not_over(opened: Open) -> None:
    place = await opened()
    await place.sim.behave("next", usage="missing", generation_delay_ms=900)
    assert (await chat(place)).status == 200
    answer = await chat(place)
    assert told(answer) == (409, "idempotency_in_flight")
    assert ids(place)[0] in error_of(answer)["message"]
    await place.quiet()
    assert told(await chat(place)) == (409, "idempotency_finished")
    assert await upstream(place) == 1


async def test_a_refusal_takes_no_key(opened: Open) -> None:
    place = await opened({"users": {"anna": user("anna", limits={"cost": cost(1)})}})
    assert told(await chat(place)) == (402, "insufficient_quota")
    assert told(await chat(place, temperature=1)) == (402, "insufficient_quota")
    await place.configure({"users": {"anna": user("anna", limits={"cost": "$5"})}})
    assert (await chat(place)).status == 200
    assert told(await chat(place)) == (409, "idempotency_finished"), "also where no more could be spent"


async def test_one_that_joins_is_not_counted(opened: Open) -> None:
    place = await opened({"users": {"anna": user("anna", limits={"requests": "1/day", "concurrency": 1})}})
    await place.sim.behave("all", delay_ms=200)
    answers = await asyncio.gather(*(chat(place) for _ in range(5)))
    assert [answer.status for answer in answers] == [200] * 5
    assert told(await chat(place)) == (409, "idempotency_finished")
    assert told(await chat(place, "other")) == (402, "insufficient_quota")


# --- how long, and what is kept


async def test_a_key_is_forgotten_after_its_time(opened: Open) -> None:
    place = await opened({"ledger": {"idempotency_kept_s": 3600}})
    start = place.clock.ms
    for n in range(5):
        assert (await chat(place, f"key-{n}")).status == 200
    place.clock.ms = start + 3_599_000
    assert (await chat(place, "key-0")).status == 409
    place.clock.ms = start + 3_602_000
    assert (await chat(place, "key-0", temperature=1)).status == 200
    assert len(place.rows(KEYS)) == 1, "the others went with it"
    assert told(await chat(place, "key-0", temperature=1)) == (409, "idempotency_finished")
    await place.check_books()


async def test_neither_key_nor_body_is_kept(opened: Open) -> None:
    place = await opened()
    messages = [{"role": "user", "content": "canary-of-a-prompt"}]
    assert (await chat(place, "canary-of-a-key", messages=messages)).status == 200
    for file in place.folder.glob("ledger.db*"):
        if file.is_file():
            assert b"canary-of-a" not in file.read_bytes()
    (row,) = place.rows(KEYS)
    assert [type(row[name]) for name in ("key_hash", "body_hash")] == [bytes, bytes]
    assert row["request_id"] == id_number(ids(place)[0])


async def test_along_a_route_too(opened: Open) -> None:
    """Several targets, and an answer that is looked at before it is passed on."""
    preset = {"targets": ["openai/gpt-5-nano", "openai/gpt-4o-mini"], "checks": {"min_chars": 1}}
    place = await opened({"presets": {"both": preset}})
    await place.sim.behave("model:openai/gpt-5-nano", error="overloaded", delay_ms=100)
    answers = await asyncio.gather(*(chat(place, model="both") for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    (row,) = place.rows()
    assert (row["attempts"], await upstream(place)) == (2, 2)
    assert told(await chat(place, model="both")) == (409, "idempotency_finished")
