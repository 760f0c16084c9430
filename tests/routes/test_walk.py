"""Which step follows a failure: the same target again, another key, another target, or none."""

import asyncio
import gc
import hashlib
import json
from typing import Any

import openai
import pytest

from proxy.core.secret import Secret
from proxy.pipeline.values.attempt import Attempt
from proxy.pipeline.values.preset import PresetRow
from proxy.pipeline.values.route import Target
from proxy.policy.backoff import RetryRules
from proxy.policy.breaker import BreakerRules
from proxy.policy.key_ring import KeyFacts
from proxy.providers.key import Key
from proxy.providers.static import static_row
from tests.routes import laid
from tests.support.installation import PROVIDER_KEY
from tests.support.patience import eventually
from tests.support.stand import MESSAGES, MODEL, Stand

FIRST, SECOND = "openai/gpt-4.1-mini", "openai/gpt-4o-mini"  # of the preset two
ATTEMPTS = "SELECT * FROM attempts ORDER BY request_id, n"
QUICK = RetryRules(attempts=3, backoff_s=0.01, backoff_max_s=0.02, budget_percent=20)
OTHER_KEY = "sk-or-v1-" + "0ddba11" * 8


def _breaker(**fields: Any) -> BreakerRules:
    return BreakerRules(**{**BreakerRules(2, 50, 1000, 60, 0.2, 0.4, 1)._asdict(), **fields})


async def _models(stand: Stand) -> list[str]:
    return [attempt["model"] for attempt in await stand.rows(ATTEMPTS)]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_the_next_target_answers(stand: Stand, stream: bool) -> None:
    await stand.sim.behave(error="overloaded")
    answer = await stand.chat({"model": "two", "stream": stream})
    assert answer.status == 200
    assert answer.header("x-tollkeeper-model") == SECOND
    assert answer.header("x-tollkeeper-attempts") == "2"
    (row,) = await stand.settled()
    assert (row["attempts"], row["model"], row["requested_model"]) == (2, SECOND, "two")
    assert [(a["outcome"], a["status"]) for a in await stand.rows(ATTEMPTS)] == [("upstream_error", 503), ("ok", 200)]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_what_a_request_made_dies_with_it(stand: Stand, stream: bool) -> None:
    """Without the garbage collector, which would come late: circles of whole requests are memory that grows."""
    assert (await stand.chat({"model": "two", "stream": stream})).status == 200
    gc.collect()
    gc.disable()
    try:
        for _ in range(4):
            assert (await stand.chat({"model": "two", "stream": stream})).status == 200
        alive = [one for one in gc.get_objects() if isinstance(one, Attempt)]
        assert len(alive) <= 1  # the last one may be held by the timer of its end
    finally:
        gc.enable()


async def test_the_same_target_again(stand: Stand) -> None:
    """With a retry left, a provider that stumbles is asked again, after a moment."""
    laid.provider(stand, retry=QUICK)
    await stand.sim.behave(count=2, error="overloaded", retry_after="")
    assert (await stand.chat()).status == 200
    assert await _models(stand) == [MODEL] * 3


async def test_no_more_retries_than_configured(stand: Stand) -> None:
    laid.provider(stand, retry=QUICK)
    await stand.sim.behave("all", error="overloaded", retry_after="")
    answer = await stand.chat()
    assert answer.status == 503
    assert answer.header("x-should-retry") == "false"
    assert "3 attempts failed" in answer.json()["error"]["message"]
    assert await _models(stand) == [MODEL] * 3


async def test_an_outage_is_not_multiplied(stand: Stand) -> None:
    """Retries of a minute are a share of the first tries, and a few."""
    laid.provider(stand, retry=QUICK._replace(budget_percent=10))
    await stand.sim.behave("all", error="overloaded", retry_after="")
    for _ in range(20):
        assert (await stand.chat()).status == 503
    assert len(await stand.sim.requests()) <= 20 + 3 + 2


async def test_a_wait_that_is_too_long_is_not_waited(stand: Stand) -> None:
    laid.provider(stand, retry=QUICK)
    await stand.sim.behave(error="overloaded", retry_after="3600")
    answer = await stand.chat()
    assert (answer.status, answer.header("retry-after")) == (503, "60")
    assert len(await stand.sim.requests()) == 1


async def test_the_next_key(stand: Stand) -> None:
    """A key that is refused is set aside, and requests go on with the other."""
    keys = tuple(Key(KeyFacts(name), Secret(text)) for name, text in (("old", PROVIDER_KEY), ("new", OTHER_KEY)))
    laid.provider(stand, keys=keys)
    await stand.sim.behave(error="user-not-found")
    assert (await stand.chat()).status == 200
    assert (await stand.chat()).status == 200
    assert [attempt["key"] for attempt in await stand.rows(ATTEMPTS)] == ["old", "new", "new"]
    sent = [request["headers"] for request in await stand.sim.requests()]
    hashes = [hashlib.sha256(f"Bearer {key}".encode()).hexdigest() for key in (PROVIDER_KEY, OTHER_KEY, OTHER_KEY)]
    hashes += [hashlib.sha256(key.encode()).hexdigest() for key in (PROVIDER_KEY, OTHER_KEY, OTHER_KEY)]
    assert all(any(digest in str(headers) for digest in hashes) for headers in sent)
    shown = (await stand.ask("GET", "/readyz?verbose")).json()["providers"]["openrouter"]["keys"]
    assert [(key["name"], key["reason"]) for key in shown] == [("old", "bad_key"), ("new", None)]


async def test_one_key_is_asked_all_the_same(stand: Stand) -> None:
    """Where there is nothing else to ask, the provider tells best, each time."""
    await stand.sim.behave(count=2, error="user-not-found")
    assert [(await stand.chat()).status for _ in range(3)] == [502, 502, 200]


async def test_a_breaker_opens_and_closes(stand: Stand) -> None:
    laid.provider(stand, breaker=_breaker())
    await stand.sim.behave("all", error="server-error")
    assert [(await stand.chat({"seed": n})).status for n in range(2)] == [500, 500]
    answer = await stand.chat()
    assert (answer.status, answer.json()["error"]["code"]) == (503, "upstream_resting")
    assert answer.header("retry-after") == "1"
    assert len(await stand.sim.requests()) == 2
    assert len(await stand.settled(2)) == 2  # what is not sent is not booked
    shown = (await stand.ask("GET", "/readyz?verbose")).json()["providers"]["openrouter"]
    assert shown["breaker"]["state"] == "open"
    await stand.sim.normal()

    async def works() -> bool:
        return (await stand.chat()).status == 200

    await eventually(works)
    shown = (await stand.ask("GET", "/readyz?verbose")).json()["providers"]["openrouter"]
    assert shown["breaker"]["state"] == "closed"


async def test_a_target_that_rests_is_passed_over(stand: Stand) -> None:
    laid.provider(stand, breaker=_breaker(cooldown_s=60, cooldown_max_s=60))
    await stand.sim.behave(f"model:{FIRST}", error="provider-error")  # of one behind the router: the model's breaker
    assert [(await stand.chat({"model": "two", "seed": n})).header("x-tollkeeper-attempts") for n in range(4)] == [
        "2",
        "2",
        "1",
        "1",
    ]
    assert len(await stand.sim.requests()) == 2 * 2 + 2


async def test_a_probe_lets_nobody_else_through(stand: Stand) -> None:
    """While one request finds out, the others do not."""
    laid.provider(stand, breaker=_breaker(cooldown_s=0.05, cooldown_max_s=60))
    await stand.sim.behave(count=2, error="server-error")
    assert [(await stand.chat({"seed": n})).status for n in range(2)] == [500, 500]
    await asyncio.sleep(0.1)
    await stand.sim.behave("all", delay_ms=200)
    answers = await asyncio.gather(*(stand.chat() for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 503, 503, 503, 503]
    assert len(await stand.sim.requests()) == 3


async def test_a_line_where_few_may_run_at_once(stand: Stand) -> None:
    laid.provider(stand, max_concurrency=2)
    await stand.sim.behave("all", delay_ms=30)
    answers = await asyncio.gather(*(stand.chat() for _ in range(8)))
    assert [answer.status for answer in answers] == [200] * 8
    view = stand.app.health.views()["openrouter"]
    assert (view.running, view.waiting) == (0, 0)


@pytest.mark.parametrize(("fields", "why"), [({"queue_max": 0}, "already wait"), ({"queue_timeout_s": 0.05}, "within")])
async def test_a_line_that_is_too_long(stand: Stand, fields: dict[str, Any], why: str) -> None:
    laid.provider(stand, max_concurrency=1, **fields)
    await stand.sim.behave("all", delay_ms=300)
    answers = await asyncio.gather(stand.chat(), stand.chat())
    assert sorted(answer.status for answer in answers) == [200, 503]
    (busy,) = [answer.json()["error"] for answer in answers if answer.status == 503]
    assert busy["code"] == "upstream_busy"
    assert why in busy["message"]
    assert len(await stand.sim.requests()) == 1
    assert {row["state"] for row in await stand.settled(2)} == {"settled", "released"}


async def test_a_full_line_is_a_reason_to_go_elsewhere(stand: Stand) -> None:
    laid.provider(stand, max_concurrency=1, queue_max=0)
    await stand.sim.behave("all", delay_ms=200)
    body = {"models": ["plain/gpt-4o-mini"]}
    answers = await asyncio.gather(stand.chat(body), stand.chat(body))
    assert [answer.status for answer in answers] == [200, 200]
    assert {answer.header("x-tollkeeper-provider") for answer in answers} == {"openrouter", "plain"}


async def test_six_targets_of_which_five_refuse(stand: Stand) -> None:
    for error in ("overloaded", "provider-error", "no-endpoints", "upstream-rate-limit", "server-error"):
        await stand.sim.behave(error=error)
    answer = await stand.chat({"model": "six"})
    assert (answer.status, answer.header("x-tollkeeper-attempts")) == (200, "6")
    attempts = await stand.rows(ATTEMPTS)
    (row,) = await stand.settled()
    assert len(attempts) == 6
    assert sum(attempt["cost_pusd"] for attempt in attempts) == row["cost_pusd"] > 0


async def test_all_have_failed(stand: Stand) -> None:
    """The last failure as its provider gave it, with the list of attempts, and the word not to try again."""
    await stand.sim.behave(error="overloaded")
    await stand.sim.behave(error="upstream-rate-limit")
    answer = await stand.chat({"model": "two"})
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (429, 429)
    assert error["message"].startswith("Provider returned error (2 attempts failed: ")
    assert f"{FIRST} at openrouter: 503, {SECOND} at openrouter: 429" in error["message"]
    assert answer.header("x-should-retry") == "false"


async def test_an_error_nested_as_deep_as_can_be_read(stand: Stand) -> None:
    """It is passed on as it is: no provider can make us fail where we add our list of attempts to its text."""
    deep = '{"error":' * 1000 + '{"message":"x"}' + "}" * 1000
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {len(deep)}\r\n\r\n"
    await stand.sim.behave("all", raw_response=head + deep)
    answer = await stand.chat({"model": "two"})
    assert (answer.status, answer.body) == (503, deep.encode())


async def test_attempts_max(stand: Stand) -> None:
    """It bounds what is asked again, and keeps no target from being asked."""
    laid.provider(stand, retry=QUICK._replace(budget_percent=100))
    laid.routing(stand, attempts_max=8)
    await stand.sim.behave("all", error="overloaded", retry_after="")
    assert (await stand.chat({"model": "six"})).status == 503
    assert len(await stand.sim.requests()) == 8
    laid.routing(stand, attempts_max=3)
    assert (await stand.chat({"model": "six"})).status == 503
    assert len(await stand.sim.requests()) == 8 + 6


async def test_the_deadline_of_a_route(stand: Stand) -> None:
    """No attempt goes on after it without content, and none begins."""
    laid.routing(stand, deadline_s=0.3)
    await stand.sim.behave("all", delay_ms=20_000)
    answer = await stand.chat({"model": "two"})
    assert (answer.status, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    assert len(await stand.sim.requests()) == 1


async def test_a_clients_own_list_of_models(stand: Stand) -> None:
    """It is walked here, each attempt with a row, and does not travel."""
    await stand.sim.behave(error="overloaded")
    answer = await stand.chat({"model": FIRST, "models": [FIRST, SECOND]})
    assert (answer.status, answer.header("x-tollkeeper-model")) == (200, SECOND)
    assert await _models(stand) == [FIRST, SECOND]
    assert all('"models"' not in request["body"] for request in await stand.sim.requests())


async def test_nothing_is_sent_for_a_client_that_has_gone(stand: Stand) -> None:
    laid.provider(stand, retry=QUICK._replace(backoff_s=0.3, backoff_max_s=0.3))
    await stand.sim.behave("all", error="overloaded")
    client = await stand.begin_chat()

    async def asked() -> bool:
        return bool(await stand.sim.requests())

    await eventually(asked)
    await client.hang_up()
    (row,) = await stand.settled()
    assert row["attempts"] == 1
    assert len(await stand.sim.requests()) == 1


async def test_a_weight_and_parameters_of_a_target(stand: Stand) -> None:
    """All of the traffic goes where all of the weight is; the target's parameters go under the client's own."""
    heavy = Target("openrouter", SECOND, weight=1, defaults={"temperature": 0.5, "top_p": 0.5})
    row = PresetRow("mine", (Target("openrouter", FIRST, weight=0), heavy), {"temperature": 1, "seed": 4})
    laid.preset(stand, row)
    for fields in ({}, {"temperature": 0}):
        assert (await stand.chat({"model": "mine", **fields})).header("x-tollkeeper-model") == SECOND
    plain, own = [json.loads(request["json"]) for request in await stand.sim.requests()]
    assert (plain["temperature"], plain["top_p"], plain["seed"]) == (0.5, 0.5, 4)
    assert own["temperature"] == 0


async def test_the_cheapest_first(stand: Stand) -> None:
    row = PresetRow("mine", (Target("openrouter", "openai/gpt-5"), Target("openrouter", SECOND)), select="cheapest")
    laid.preset(stand, row)
    assert (await stand.chat({"model": "mine"})).header("x-tollkeeper-model") == SECOND
    explained = (await stand.ask("POST", "/v1/explain", {"model": "mine", "messages": MESSAGES})).json()
    assert [target["model"] for target in explained["targets"]] == [SECOND, "openai/gpt-5"]
    assert [target["chosen"] for target in explained["targets"]] == [True, False]
    assert "USD per thousand tokens" in explained["targets"][0]["reason"]


async def test_variables_in_the_system_prompt(stand: Stand) -> None:
    system = "You are {character}."
    laid.preset(stand, PresetRow("mine", (Target("openrouter", SECOND),), system=system))
    answer = await stand.chat({"model": "mine"})
    assert (answer.status, answer.json()["error"]["param"]) == (400, "metadata.character")
    metadata = {"character": "a lighthouse keeper", "run": "7"}
    assert (await stand.chat({"model": "mine", "metadata": metadata})).status == 200
    (sent,) = [json.loads(request["json"]) for request in await stand.sim.requests()]
    assert sent["messages"][0] == {"role": "system", "content": "You are a lighthouse keeper."}
    assert sent["metadata"] == {"run": "7"}


async def test_a_use_case_chooses_the_preset(stand: Stand) -> None:
    laid.preset(stand, PresetRow("sms-classify", (Target("openrouter", SECOND),)), use_cases={"sms": "sms-classify"})
    headers = [("X-Tollkeeper-Use-Case", "sms")]
    answer = await stand.chat({"model": "gpt-whatever"}, headers=headers)
    assert (answer.status, answer.header("x-tollkeeper-model")) == (200, SECOND)
    (row,) = await stand.settled()
    assert (row["requested_model"], row["use_case"]) == ("gpt-whatever", "sms")


TEXTS = {"opening hours": "We are open from 9 to 5.", "default": "Please call again."}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(("said", "text"), [("Your Opening Hours?", TEXTS["opening hours"]), ("Hm", TEXTS["default"])])
async def test_a_canned_answer_comes_last(stand: Stand, stream: bool, said: str, text: str) -> None:
    """A phone line never hears a dead tone: when every target has failed, a text of the operator's answers."""
    static = Target("static", "static", static="phone")
    row = PresetRow("phone", (Target("openrouter", SECOND), static))
    laid.preset(stand, row, statics={"phone": static_row(TEXTS, lambda: 1_793_539_200)})
    await stand.sim.behave("all", error="overloaded")
    client = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{stand.port}/v1", api_key=stand.token, max_retries=0)
    async with client:
        raw: Any = await client.chat.completions.with_raw_response.create(
            model="phone", messages=[{"role": "user", "content": said}], stream=stream
        )
        assert raw.headers["x-tollkeeper-static"] == "1"
        if stream:
            chunks = [chunk async for chunk in raw.parse()]
            found = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        else:
            found = raw.parse().choices[0].message.content
    assert found == text
    (booked,) = await stand.settled()
    assert (booked["provider"], booked["cost_pusd"], booked["cost_source"]) == ("static", 0, "none")
    assert booked["state"] == "released"
    assert [attempt["provider"] for attempt in await stand.rows(ATTEMPTS)] == ["openrouter", "static"]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("over", [{"deadline_s": 0.3}, {"attempts_max": 1}], ids=lambda over: next(iter(over)))
async def test_a_canned_answer_needs_no_time(stand: Stand, over: dict[str, Any], stream: bool) -> None:
    """The first target uses up what there is for all of them; the line is not dead for that."""
    static = Target("static", "static", static="phone")
    row = PresetRow("phone", (Target("openrouter", FIRST), Target("openrouter", SECOND), static))
    laid.preset(stand, row, statics={"phone": static_row(TEXTS, lambda: 1_793_539_200)})
    laid.routing(stand, **over)
    more = {"delay_ms": 20_000} if "deadline_s" in over else {"error": "overloaded"}
    await stand.sim.behave("all", **more)
    answer = await stand.chat({"model": "phone", "stream": stream})
    assert (answer.status, answer.header("x-tollkeeper-static")) == (200, "1")
    assert TEXTS["default"] in answer.body.decode()
    asked = ["openrouter"] * (1 if "deadline_s" in over else 2)
    assert [attempt["provider"] for attempt in await stand.rows(ATTEMPTS)] == [*asked, "static"]
    await stand.sim.normal()
    await stand.sim.behave(error="bad-parameter")
    assert (await stand.chat({"model": "phone", "stream": stream})).status == 400


async def test_metrics(stand: Stand) -> None:
    """They count what happened, by the words of the table of failures."""
    laid.provider(stand, max_concurrency=5, retry=QUICK)
    await stand.sim.behave(error="overloaded", retry_after="")
    await stand.sim.behave(cost_missing=True)
    assert (await stand.chat()).status == 200
    assert (await stand.chat({"model": 5})).status == 400
    await stand.sim.behave(error="user-not-found")
    assert (await stand.chat()).status == 502
    text = (await stand.ask("GET", "/metrics", token=None)).body.decode()
    for line in (
        'tollkeeper_requests_total{status="200"} 1.0',
        'tollkeeper_requests_total{status="502"} 1.0',
        'tollkeeper_refusals_total{code="invalid_type",status="400"} 1.0',
        'tollkeeper_attempts_total{outcome="ok",provider="openrouter"} 1.0',
        'tollkeeper_attempts_total{outcome="upstream_auth",provider="openrouter"} 1.0',
        'tollkeeper_retries_total{provider="openrouter"} 1.0',
        'tollkeeper_key_set_asides_total{case="bad_key",key="main",provider="openrouter"} 1.0',
        'tollkeeper_keys_set_aside{provider="openrouter"} 1.0',
        'tollkeeper_breaker_state{provider="openrouter",state="closed"} 1.0',
        'tollkeeper_line{place="running",provider="openrouter"} 0.0',
    ):
        assert line in text.splitlines(), line


async def test_a_breaker_that_made_room_for_another_meanwhile(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer that was under way with its pass is an answer all the same."""
    monkeypatch.setattr("proxy.pipeline.upstream.provider_health._MODELS_MAX", 1)
    laid.provider(stand, retry=QUICK)
    await stand.sim.behave(error="overloaded", retry_after="")
    assert (await stand.chat({"model": FIRST})).status == 200
    await stand.sim.behave(f"model:{FIRST}", delay_ms=600)
    slow = asyncio.ensure_future(stand.chat({"model": FIRST}))

    async def asked() -> bool:
        return len(await stand.sim.requests()) == 3

    await eventually(asked)
    await stand.sim.behave(f"model:{SECOND}", error="overloaded", retry_after="")
    assert (await stand.chat({"model": SECOND})).status == 503
    assert (await slow).status == 200
