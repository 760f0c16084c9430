"""Each request is published once: after its row is on disk, or as one that was refused and has no row."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from proxy.pipeline.values.finished import RequestFinished, RequestRefused
from proxy.storage.rows import id_text
from tests.support.patience import eventually
from tests.support.raw import connect, request_bytes
from tests.support.stand import CHAT, MESSAGES, MODEL, Stand, read_rows
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRESETS = {"two": {"targets": ["plain/gpt-4o-mini", MODEL]}}


class Watch:
    """Keeps each event with what the ledger's row said at that moment."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self.ended: list[tuple[RequestFinished, str]] = []
        self.refusals: list[RequestRefused] = []

    def finished(self, event: RequestFinished) -> None:
        query = f"SELECT state FROM requests WHERE id = {event.end.id:d}"  # noqa: S608 - a number of ours
        (row,) = read_rows(self._stand.database, query)
        self.ended.append((event, row["state"]))

    def refused(self, event: RequestRefused) -> None:
        self.refusals.append(event)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["fast path", "general"])
async def stand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    more = {"presets": PRESETS, "server": {"fast_path": request.param == "fast path"}}
    async with run_stand(tmp_path_factory.mktemp("finished"), more) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def watch(stand: Stand) -> AsyncIterator[Watch]:
    await stand.clear()
    events, found = stand.app.services.events, Watch(stand)
    before = events.subscribers
    events.subscribers = (*before, found)
    yield found
    events.subscribers = before
    assert events.failures == 0


async def _one(watch: Watch) -> RequestFinished:
    """Wait until a request was published, and return it: its row had its end by then, and there is no other."""

    async def published() -> bool:
        return bool(watch.ended)

    await eventually(published)
    ((event, state),) = watch.ended
    assert event.is_written
    assert state == event.end.state
    assert not watch.refusals
    return event


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer(stand: Stand, watch: Watch, *, streamed: bool) -> None:
    answer = await stand.chat({"stream": streamed})
    assert answer.status == 200
    event = await _one(watch)
    (row,) = await stand.rows()
    assert (id_text(event.end.id), event.end.cost_pusd) == (row["request_id"], row["cost_pusd"])
    assert (event.row.streamed, event.row.user, event.earlier) == (int(streamed), "anna", ())


async def test_an_error_of_the_provider(stand: Stand, watch: Watch) -> None:
    await stand.sim.behave("all", named="error-invalid-model")
    assert (await stand.chat()).status == 400
    event = await _one(watch)
    assert (event.end.status, event.end.state) == (400, "released")


async def test_attempts_before_the_last(stand: Stand, watch: Watch) -> None:
    await stand.sim.behave("next", error="upstream-rate-limit")
    assert (await stand.chat({"model": "two"})).status == 200
    event = await _one(watch)
    ((first, end),) = event.earlier
    assert (first, end.status, event.row.target_provider) == (None, 429, "plain")
    assert (event.end.provider, event.end.attempts, event.end.attempt_ends[-1].n) == ("openrouter", 2, 2)


async def test_a_client_that_hangs_up(stand: Stand, watch: Watch) -> None:
    await stand.sim.behave(completion_tokens=30, pace_ms=20)
    client = await connect(stand.port)
    body = {"model": MODEL, "messages": MESSAGES, "stream": True}
    await client.send(request_bytes("POST", CHAT, body, token=stand.token))
    await client.read_until(b'"content"')
    await client.close()
    event = await _one(watch)
    assert "client_gone" in (event.end.flags or "")


@pytest.mark.parametrize(
    ("body", "token", "status", "code", "user"),
    [
        ({}, "tk-nobody", 401, "invalid_api_key", None),
        ({"messages": 5}, None, 400, "invalid_type", "anna"),
    ],
)
async def test_a_refusal(
    stand: Stand, watch: Watch, body: dict[str, object], token: str | None, status: int, code: str, user: str | None
) -> None:
    more = {} if token is None else {"token": token}
    assert (await stand.chat(body, **more)).status == status
    (event,) = watch.refusals
    assert (event.status, event.user, event.path, event.fault) == (status, user, CHAT, "caller")
    assert event.code == code
    assert not watch.ended
    assert await stand.rows() == []


async def test_one_that_fails_changes_no_answer(stand: Stand) -> None:
    class Broken:
        def finished(self, _event: RequestFinished) -> None:
            raise RuntimeError("broken")

        def refused(self, _event: RequestRefused) -> None:
            raise RuntimeError("broken")

    await stand.clear()
    events = stand.app.services.events
    before = events.subscribers
    events.subscribers = (Broken(), *before)
    try:
        assert (await stand.chat()).status == 200
        assert (await stand.chat({}, token="tk-nobody")).status == 401
    finally:
        events.subscribers, events.failures, failures = before, 0, events.failures
    assert failures == 2
    (row,) = await stand.settled()
    assert row["cost_pusd"] > 0
