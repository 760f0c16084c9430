"""The official openai package tries again by itself, with the same key: each answer is billed once."""

from collections.abc import AsyncIterator

import openai
import pytest
import pytest_asyncio

from tests.support.stand import MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = {"Idempotency-Key": "stainless-python-retry-1"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with run_stand(tmp_path_factory.mktemp("sdk")) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def client(stand: Stand) -> AsyncIterator[openai.AsyncOpenAI]:
    await stand.clear()
    url = f"http://127.0.0.1:{stand.port}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key=stand.token, max_retries=2) as found:
        yield found


_NOT_IMPLEMENTED = (
    "HTTP/1.1 501 Not Implemented\r\nContent-Type: application/json\r\nContent-Length: 37\r\n\r\n"
    '{"error":{"message":"Not here yet."}}'
)


async def test_what_the_proxy_tries_again_is_one_request(stand: Stand, client: openai.AsyncOpenAI) -> None:
    await stand.sim.behave(error="server-error")
    await client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_headers=KEY)
    (row,) = await stand.settled()
    assert (row["state"], row["attempts"]) == ("settled", 2)
    assert row["cost_pusd"] == (await stand.sim.books())["total_pusd"]


async def test_the_package_repeats_nothing_that_was_tried_twice(stand: Stand, client: openai.AsyncOpenAI) -> None:
    """It raises at once, and the key is still free: the next call with it is answered."""
    await stand.sim.behave(count=2, error="server-error")
    with pytest.raises(openai.InternalServerError, match="2 attempts failed"):
        await client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_headers=KEY)
    assert len(await stand.sim.requests()) == 2
    await client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_headers=KEY)
    rows = await stand.settled(2)
    assert [(row["state"], row["attempts"]) for row in rows] == [("released", 2), ("settled", 1)]
    assert sum(row["cost_pusd"] for row in rows) == (await stand.sim.books())["total_pusd"]


@pytest.mark.parametrize("failures", [1, 2])
async def test_after_failures_that_cost_nothing_the_retry_is_answered(
    stand: Stand, client: openai.AsyncOpenAI, failures: int
) -> None:
    """The proxy tries a 501 once, so that it is the package that comes again."""
    await stand.sim.behave(count=failures, raw_response=_NOT_IMPLEMENTED)
    answer = await client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_headers=KEY)
    assert answer.choices[0].message.content
    rows = await stand.settled(failures + 1)
    assert [row["state"] for row in rows] == ["released"] * failures + ["settled"]
    assert sum(row["cost_pusd"] for row in rows) == (await stand.sim.books())["total_pusd"]


async def test_a_request_that_is_over_is_a_conflict_at_once(stand: Stand, client: openai.AsyncOpenAI) -> None:
    await client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_headers=KEY)
    (row,) = await stand.settled()
    with pytest.raises(openai.ConflictError) as caught:
        await client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_headers=KEY)
    assert caught.value.code == "idempotency_finished"
    assert caught.value.request_id == row["request_id"]
    with pytest.raises(openai.UnprocessableEntityError):
        await client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=1, extra_headers=KEY)
    assert len(await stand.sim.requests()) == 1


async def test_a_client_that_gave_up_gets_the_answer_on_its_retry(stand: Stand, client: openai.AsyncOpenAI) -> None:
    """Its own time-out is shorter than the answer takes: without the key it would be billed twice.

    The package waits about half a second before it tries again, and so a second before the answer comes.
    """
    await stand.sim.behave("all", delay_ms=4000)
    impatient = client.with_options(timeout=2.5, max_retries=1)
    answer = await impatient.chat.completions.create(model=MODEL, messages=MESSAGES, extra_headers=KEY)
    assert answer.choices[0].message.content
    await stand.settled()
    assert len(await stand.sim.requests()) == 1
