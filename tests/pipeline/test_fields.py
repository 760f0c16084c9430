"""Fields that the proxy does not know travel on, both ways, with every value as it was."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.installation import PROVIDER_KEY
from tests.support.json_values import Literal, read, texts, values, write
from tests.support.stand import CHAT, MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

_KNOWN = {  # names that the proxy reads or checks itself
    *("model", "models", "messages", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens"),
    *("usage", "session_id"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with run_stand(tmp_path_factory.mktemp("fields")) as found:
        yield found


_fields = st.dictionaries(texts.filter(lambda name: name not in _KNOWN), values, max_size=5)

_moderate = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@_moderate
@given(top=_fields, inner=values, stream=st.booleans())
@example(
    top={"a": Literal("1e-400"), "b": Literal("-0"), "c": Literal("1E5"), "d": Literal("18446744073709551616")},
    inner=[],
    stream=False,
)
@example(
    top={"": {"": [""]}, "é": "\u2028\u0000😀", "temperature": Literal("0.10")}, inner={"x": [[[{}]]]}, stream=True
)
async def test_a_request_arrives_as_it_was_sent(stand: Stand, top: dict[str, Any], inner: Any, stream: bool) -> None:
    message = {"role": "user", "content": "x", "unknown": inner}
    sent = write({"model": MODEL, "messages": [message], "stream": stream, "metadata": inner, **top})
    await stand.sim.forget()
    got = await stand.ask("POST", CHAT, sent.encode())
    assert got.status == 200, got.body
    (arrived,) = await stand.sim.requests()
    kind, fields = read(arrived["body"])
    assert kind == "object"
    assert [(name, value) for name, value in fields if name != "usage"] == read(sent)[1]
    assert dict(fields)["usage"] == ("object", [("include", True)])


@_moderate
@given(extra=values, name=texts)
async def test_an_answer_comes_down_as_it_was_sent(stand: Stand, extra: Any, name: str) -> None:
    body = write({"id": "gen-1", "unknown": extra, "choices": [{"message": {"content": "x", name: extra}}]})
    await stand.sim.behave(body=body)
    got = await stand.ask("POST", CHAT, {"model": MODEL, "messages": MESSAGES})
    assert (got.status, got.body) == (200, body.encode())


@_moderate
@given(extras=st.lists(values, max_size=4), line_end=st.sampled_from(["\n", "\r\n", "\r"]))
async def test_events_come_down_as_they_were_sent(stand: Stand, extras: list[Any], line_end: str) -> None:
    chunks = [write({"choices": [{"delta": {"content": "x"}}], "unknown": extra}) for extra in extras]
    events = [
        line_end.join(f"data: {line}" for line in chunk.split("\n")) + line_end * 2
        for chunk in [*chunks, "[DONE]"]
        if "\r" not in chunk
    ]
    body = f": a comment{line_end * 2}" + "".join(events)
    await stand.sim.behave(body=body)
    got = await stand.ask("POST", CHAT, {"model": MODEL, "messages": MESSAGES, "stream": True})
    assert (got.status, got.content_type, got.body) == (200, "text/event-stream", body.encode())


@pytest.mark.parametrize("usage", [{"include": False}, {"other": 1}, None, True])
async def test_usage_is_asked_for_whatever_the_client_says(stand: Stand, usage: Any) -> None:
    await stand.sim.forget()
    got = await stand.chat({"usage": usage})
    assert got.status == 200
    (arrived,) = await stand.sim.requests()
    kept = {"other": 1} if usage == {"other": 1} else {}
    assert json.loads(arrived["body"])["usage"] == {**kept, "include": True}


async def test_headers_travel_by_list(stand: Stand) -> None:
    """What names the caller's application travels; what names the caller, its machine or its secrets does not."""
    travels = {
        "HTTP-Referer": "https://app.example",
        "X-Title": "An app",
        "X-OpenRouter-Cache": "true",
        "traceparent": "00-1-2-03",
        "anthropic-beta": "b",
    }
    stays = {
        "Cookie": "a=b",
        "X-Forwarded-For": "10.0.0.1",
        "X-Tollkeeper-Use-Case": "test",
        "X-Tollkeeper-Tags": "a=b",
        "User-Agent": "client/1",
        "X-Stainless-Lang": "python",
        "Idempotency-Key": "k",
        "X-OpenWebUI-User-Email": "a@b",
        "Accept-Language": "sv",
    }
    await stand.sim.forget()
    got = await stand.chat(headers=[*travels.items(), *stays.items()])
    assert got.status == 200
    (arrived,) = await stand.sim.requests()
    names = {name.lower(): value for name, value in arrived["headers"]}
    assert {name: names.get(name.lower()) for name in travels} == travels
    assert names["user-agent"] == "tollkeeper"
    assert not {name.lower() for name in stays} - {"user-agent"} & set(names)
    assert names["accept-encoding"] == "identity"
    direct = await stand.sim.chat({"model": MODEL, "messages": MESSAGES}, key=PROVIDER_KEY)
    assert direct.status == 200
    first, second = await stand.sim.requests()
    keys = [dict(request["headers"])["Authorization"] for request in (first, second)]
    assert keys[0] == keys[1]  # the provider's key, not the caller's token
