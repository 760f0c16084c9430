"""No field is lost at any endpoint: what is not known travels on, both ways, with every value as it was."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.endpoints.asked import ASKS, BODIES, STREAMED, body_of
from tests.support.json_values import read, texts, values, write
from tests.support.stand import Stand
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

_KNOWN = {  # names that the proxy reads or checks itself, at one endpoint or another
    *("model", "models", "route", "messages", "prompt", "input", "stream", "stream_options", "n", "best_of"),
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "usage", "session_id", "background", "thinking"),
    *("fallbacks", "metadata"),
}
_PARTS = {"/responses": "input", "/messages": "messages", "/chat/completions": "messages"}
_moderate = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
_fields = st.dictionaries(texts.filter(lambda name: name not in _KNOWN), values, max_size=5)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with run_stand(tmp_path_factory.mktemp("fields")) as found:
        yield found


@pytest.mark.parametrize(("path", "stream"), ASKS)
@_moderate
@given(top=_fields, inner=values)
async def test_a_request_arrives_as_it_was_sent(
    stand: Stand, path: str, stream: bool, top: dict[str, Any], inner: Any
) -> None:
    body = {**body_of(path, stream=stream), **top}
    if path in _PARTS:
        body[_PARTS[path]] = [{"role": "user", "content": "x", "unknown": inner}]
    sent = write(body)
    await stand.sim.forget()
    got = await stand.ask("POST", f"/v1{path}", sent.encode())
    assert got.status == 200, got.body
    (arrived,) = await stand.sim.requests(path)
    fields = read(arrived["body"])[1]
    assert [(name, value) for name, value in fields if name != "usage"] == read(sent)[1]
    asks = path in ("/chat/completions", "/completions")
    assert dict(fields).get("usage") == (("object", [("include", True)]) if asks else None)


@pytest.mark.parametrize("path", list(BODIES))
@_moderate
@given(extra=values, name=texts)
async def test_an_answer_comes_down_as_it_was_sent(stand: Stand, path: str, extra: Any, name: str) -> None:
    part = [{"type": "message", "content": [{"type": "text", "text": "x", name: extra}]}]
    body = write({"id": "gen-1", "unknown": extra, "choices": part, "output": part, "content": part, "data": part})
    await stand.sim.behave(body=body)
    got = await stand.ask("POST", f"/v1{path}", BODIES[path])
    assert (got.status, got.body) == (200, body.encode())


_ENDS = {
    "/responses": '{"type":"response.completed","response":{"id":"gen-1","status":"completed","output":[]}}',
    "/messages": '{"type":"message_stop"}',
}


@pytest.mark.parametrize("path", STREAMED)
@_moderate
@given(extras=st.lists(values, max_size=4), line_end=st.sampled_from(["\n", "\r\n", "\r"]))
async def test_events_come_down_as_they_were_sent(stand: Stand, path: str, extras: list[Any], line_end: str) -> None:
    kinds = {"type": "content_block_delta" if path == "/messages" else "response.output_text.delta"}
    chunks = [write({**kinds, "delta": "x", "choices": [{"delta": {"content": "x"}}], "unknown": e}) for e in extras]
    events = [
        line_end.join(f"data: {line}" for line in chunk.split("\n")) + line_end * 2
        for chunk in [*chunks, _ENDS.get(path, "[DONE]")]
        if "\r" not in chunk
    ]
    body = f": a comment{line_end * 2}" + "".join(events)
    await stand.sim.behave(body=body)
    got = await stand.ask("POST", f"/v1{path}", body_of(path, stream=True))
    assert (got.status, got.content_type, got.body) == (200, "text/event-stream", body.encode())
