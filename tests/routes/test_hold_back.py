"""A stream is held back until its first content while another target is left: the client sees one answer only."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.stand import Stand
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIRST, SECOND = "openai/gpt-5-mini", "openai/gpt-4o-mini"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[True, False], ids=["lane", "general"])
async def stand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    more: dict[str, Any] = {
        "server": {"fast_path": request.param},
        "presets": {"two": [FIRST, SECOND]},
        "providers": {"openrouter": {"header_timeout_s": 0.5, "idle_timeout_s": 0.5}},
    }
    async with run_stand(tmp_path_factory.mktemp("hold"), more) as found:
        yield found


# what the first target does before any content -> how its attempt is called
BEFORE_CONTENT: dict[str, tuple[dict[str, Any], str]] = {
    "error event": ({"named": "midstream-error-first"}, "upstream_error"),
    "error event after comments": ({"stream_error_after": 0, "comments_before": 5}, "upstream_error"),
    "reset after the head": ({"named": "rst-after-headers"}, "upstream_broken"),
    "end after the head": ({"named": "fin-after-headers"}, "upstream_broken"),
    "silence after the head": ({"named": "hang-after-headers"}, "upstream_timeout"),
    "cut in the first event": ({"stop_at": "after_bytes", "stop_after": 60, "stop_with": "fin"}, "upstream_broken"),
    "status": ({"error": "overloaded"}, "upstream_error"),
    "a page": ({"body": "<html>try later</html>", "content_type": "text/html"}, "upstream_broken"),
}


@pytest.mark.parametrize("case", BEFORE_CONTENT)
async def test_a_failure_before_content_moves_on(stand: Stand, case: str) -> None:
    behaviour, outcome = BEFORE_CONTENT[case]
    await stand.clear()
    await stand.sim.behave(**behaviour)
    answer = await stand.chat({"model": "two", "stream": True})
    assert answer.status == 200
    assert answer.end == "complete"
    assert answer.body.count(b"data: [DONE]") == 1
    assert b'"error"' not in answer.body
    assert b'"model":"openai/gpt-5-mini"' not in answer.body
    (row,) = await stand.settled()
    assert (row["status"], row["attempts"], row["model"], row["error"]) == (200, 2, SECOND, None)
    attempts = await stand.rows("SELECT * FROM attempts ORDER BY n")
    assert [attempt["outcome"] for attempt in attempts] == [outcome, "ok"]


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        ({"named": "midstream-error-after-3"}, "upstream_error"),
        ({"named": "rst-after-3-chunks"}, "upstream_broken"),
        ({"named": "hang-after-3-chunks"}, "upstream_timeout"),
    ],
)
async def test_after_content_it_is_never_another_model(stand: Stand, behaviour: dict[str, Any], outcome: str) -> None:
    await stand.clear()
    await stand.sim.behave(**behaviour)
    answer = await stand.chat({"model": "two", "stream": True})
    assert answer.status == 200
    assert answer.body.count(b'"error":{') == 1
    assert SECOND.encode() not in answer.body
    (row,) = await stand.settled()
    assert (row["attempts"], row["model"], row["error"]) == (1, FIRST, outcome)
    assert len(await stand.sim.requests()) == 1
    books = await stand.sim.books()
    assert row["cost_pusd"] == books["total_pusd"]
