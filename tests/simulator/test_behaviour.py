"""Which behaviour a request gets, and what /_sim says to mistakes."""

import hashlib
import json
import math
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.simulator.behaviour import NAMED_BEHAVIOURS, Behaviour, BehaviourError, Script, parse
from proxy.simulator.structured import example

from .conftest import KEY

CHAT = "/api/v1/chat/completions"
BODY = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Say something."}]}


async def status(client: httpx.AsyncClient, model: str = "openai/gpt-4o-mini", **headers: str) -> int:
    return (await client.post(CHAT, json={**BODY, "model": model}, headers=headers)).status_code


async def test_next_counts_down(client: httpx.AsyncClient) -> None:
    await client.post("/_sim/behaviour", json={"for": "next", "count": 2, "error": "overloaded"})
    await client.post("/_sim/behaviour", json={"for": "next", "error": "key-limit"})
    assert [await status(client) for _ in range(4)] == [503, 503, 403, 200]


async def test_model_path_and_all(client: httpx.AsyncClient) -> None:
    await client.post("/_sim/behaviour", json={"for": "all", "error": "overloaded"})
    await client.post("/_sim/behaviour", json={"for": "model:openai/gpt-5-mini", "error": "key-limit"})
    assert await status(client) == 503
    assert await status(client, "openai/gpt-5-mini") == 403
    assert await status(client, "sim/ok") == 200
    assert await status(client, **{"X-Sim-Behaviour": "error-too-large"}) == 413
    shown = (await client.get("/_sim/behaviour")).json()
    assert shown["all"] == {"error": "overloaded"}
    assert shown["models"] == {"openai/gpt-5-mini": {"error": "key-limit"}}
    await client.delete("/_sim/behaviour")
    assert await status(client) == 200


async def test_a_named_behaviour_can_be_changed(client: httpx.AsyncClient) -> None:
    fields = {"named": "midstream-error-after-3", "stream_error_after": 1}
    await client.post("/_sim/behaviour", json=fields)
    answer = await client.post(CHAT, json={**BODY, "stream": True})
    assert answer.text.count("data: ") == 2
    assert (await client.get("/_sim/behaviours")).json() == json.loads(json.dumps(NAMED_BEHAVIOURS))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"paze_ms": 1}, "paze_ms"),
        ({"pace_ms": "1"}, "pace_ms"),
        ({"pace_ms": -1}, "pace_ms"),
        ({"error": "nothing"}, "unknown error 'nothing'"),
        ({"named": "nothing"}, "'nothing'"),
        ({"for": "somebody"}, "field for"),
        ({"count": 0}, "field count"),
        ({"usage_shape": "D"}, "usage_shape"),
        ({"headers": [["only a name"]]}, "headers"),
    ],
)
async def test_a_wrong_behaviour_is_refused_with_its_field(
    client: httpx.AsyncClient, fields: dict[str, Any], text: str
) -> None:
    answer = await client.post("/_sim/behaviour", json=fields)
    assert answer.status_code == 400
    assert text in answer.json()["error"]
    assert await status(client) == 200


async def test_sim_says_what_is_wrong(client: httpx.AsyncClient) -> None:
    assert (await client.post("/_sim/behaviour", content=b"{")).status_code == 400
    assert (await client.post("/_sim/behaviour", content=b"[]")).status_code == 400
    assert (await client.post("/_sim/reset", json={"sead": 1})).status_code == 400
    assert "POST /_sim/reset" in (await client.get("/_sim/nothing")).json()["error"]
    assert await status(client, "sim/nothing") == 400


async def test_requests_are_shown_as_received(client: httpx.AsyncClient) -> None:
    raw = b'{ "model": "openai/gpt-4o-mini", "messages": [{"role":"user","content":"\\u00e5"}], "odd": 1.0 }'
    await client.post(CHAT + "?a=b", content=raw, headers={"X-Odd": "Yes"})
    shown = (await client.get("/_sim/requests")).json()
    (request,) = shown["requests"]
    assert request["body"] == raw.decode()
    assert request["body_bytes"] == len(raw)
    assert json.loads(request["json"]) == json.loads(raw)
    assert request["path"] == CHAT + "?a=b"
    headers = dict(request["headers"])
    assert headers["X-Odd"] == "Yes"
    assert headers["Authorization"] == "sha256:" + hashlib.sha256(KEY.encode()).hexdigest()
    assert KEY not in json.dumps(shown)
    await client.post("/_sim/requests", json={"keep": 2})
    for _ in range(3):
        await status(client)
    shown = (await client.get("/_sim/requests")).json()
    assert (shown["count"], len(shown["requests"])) == (4, 2)
    await client.delete("/_sim/requests")
    await client.post("/_sim/requests", json={"keep": "all"})
    assert (await client.get("/_sim/requests")).json() == {"count": 0, "requests": []}


async def test_reset_forgets_everything(client: httpx.AsyncClient) -> None:
    await client.post("/_sim/behaviour", json={"for": "all", "error": "overloaded"})
    await status(client)
    await client.post("/_sim/reset", json={"seed": 8, "created": 1_793_539_200})
    assert await status(client) == 200
    shown = (await client.get("/_sim/books")).json()
    assert shown["requests"] == 1
    (entry,) = shown["generations"].values()
    assert (entry["seq"], entry["created"]) == (1, 1_793_539_200)


def test_a_behaviour_lies_over_the_base() -> None:
    script = Script(Behaviour(pace_ms=5))
    assert script.named("reasoning").pace_ms == 5
    assert script.named("slow").pace_ms == 20
    with pytest.raises(BehaviourError, match="count"):
        script.set({"count": True})


@given(st.dictionaries(st.text(max_size=20), st.none() | st.integers() | st.text(max_size=5), max_size=4))
def test_any_fields_are_taken_or_refused_with_a_text(fields: dict[str, Any]) -> None:
    try:
        behaviour = parse(fields, Behaviour())
    except BehaviourError:
        assert fields
    else:
        assert set(fields) <= {*Behaviour.model_fields, "named"}
        assert isinstance(behaviour, Behaviour)


bounds = st.integers(-1000, 1000)


@given(bounds, bounds, st.sampled_from(["integer", "number"]), st.sampled_from([None, 1, 2, 7]))
def test_numbers_keep_their_bounds(one: int, other: int, kind: str, step: int | None) -> None:
    low, high = min(one, other), max(one, other)
    schema = {"type": kind, "minimum": low, "maximum": high}
    if step is not None:
        schema["multipleOf"] = step
        if math.ceil(low / step) * step > high:
            return  # no such number
    value = example(schema)
    assert low <= value <= high
    assert step is None or value % step == 0


@given(st.integers(0, 40), st.integers(0, 40))
def test_strings_keep_their_lengths(one: int, other: int) -> None:
    schema = {"type": "string", "minLength": min(one, other), "maxLength": max(one, other)}
    assert min(one, other) <= len(example(schema)) <= max(one, other)


def test_schemas_of_every_kind() -> None:
    schema = {
        "type": "object",
        "properties": {
            "const": {"const": 5},
            "enum": {"enum": ["b", "a"]},
            "either": {"anyOf": [{"type": "null"}, {"type": "string"}]},
            "both": {"allOf": [{"$ref": "#/$defs/leaf"}, {"properties": {"more": {"type": "boolean"}}}]},
            "list": {"type": "array", "items": {"type": "number"}, "minItems": 3},
            "maybe": {"type": ["null", "integer"], "exclusiveMinimum": 3},
            "day": {"type": "string", "format": "date"},
        },
        "$defs": {"leaf": {"type": "object", "properties": {"name": {"type": "string"}}}},
    }
    assert example(schema) == {
        "const": 5,
        "enum": "b",
        "either": None,
        "both": {"name": "example", "more": True},
        "list": [1, 1, 1],
        "maybe": 4,
        "day": "2026-11-20",
    }
