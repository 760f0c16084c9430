"""What promises rest on is watched: where it ends, everybody hears of it at once, and nobody waits for it."""

import asyncio
import io
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.logs import Output
from proxy.core.done import NOTHING_LEFT
from proxy.core.user_token import token_hash
from proxy.jobs import hold_watch, part_watch
from proxy.jobs import runner as job_runner
from proxy.jobs.runner import JobRunner
from proxy.policy.quota import Amounts
from proxy.storage.sqlite.statements import BatchStatement
from tests.quotas.place import Place, error_of, user
from tests.support.book import book_of, limiter_of
from tests.support.control import Controls
from tests.support.installation import settings, token_of, write_config
from tests.support.patience import eventually
from tests.support.process import Process, clean_environment
from tests.support.raw import ask
from tests.support.stand import CHAT, MESSAGES, MODEL, read_rows

Open = Callable[..., Awaitable[Place]]
LIMITED = {"users": {"anna": user("anna", limits={"cost": "$1/day", "requests": "1k/day"})}}

# runs `tollkeeper serve`, whose writer's thread raises once the file "break" is there; in what the writer calls, for a
# compiled one calls its own methods whatever stands in their place
_SERVE = """
import sys
from pathlib import Path
from proxy.storage.sqlite.statements import BatchStatement
made = BatchStatement._variant
def broken(self, rows):
    if Path("break").exists():
        raise SystemExit("of its own")
    return made(self, rows)
BatchStatement._variant = broken
from proxy.cli import main
sys.argv = ["tollkeeper", "serve"]
main()
"""


# as above, with a disk that is full from then on
_SERVE_FULL = """
import sqlite3, sys
from pathlib import Path
from proxy.storage.sqlite.statements import BatchStatement
made = BatchStatement._variant
def full(self, rows):
    if Path("break").exists():
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error
    return made(self, rows)
BatchStatement._variant = full
from proxy.cli import main
sys.argv = ["tollkeeper", "serve"]
main()
"""


@asynccontextmanager
async def running(folder: Path, program: str) -> AsyncIterator[Process]:
    """Run a program that serves; it is killed at the end if it still runs."""
    stderr = folder / "serve.stderr"
    with stderr.open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, cwd=folder, env=clean_environment(folder), stdout=log, stderr=log
        )
    process = Process(child, stderr)
    try:
        await process.ready()
        yield process
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def test_a_stop_that_leaves_ends_unwritten_says_so(tmp_path: Path, sim: Controls) -> None:
    write_config(tmp_path, settings(sim.url, {"ledger": {"settlement_timeout_s": 0.2}}))
    async with running(tmp_path, _SERVE_FULL) as process:
        body = {"model": MODEL, "messages": MESSAGES}
        await sim.behave("next", first_token_ms=700)
        under_way = asyncio.ensure_future(process.ask("POST", CHAT, body))
        await eventually(lambda: _open_rows(tmp_path))
        (tmp_path / "break").touch()
        assert (await under_way).status == 200
        process.signal(signal.SIGTERM)
        assert await process.ended() == 4
        assert "1 requests ended and could not be written" in process.stderr()
    assert len(await _open_rows(tmp_path)) == 1


async def test_a_writer_that_ends_ends_the_proxy(tmp_path: Path, sim: Controls) -> None:
    write_config(tmp_path, settings(sim.url))
    async with running(tmp_path, _SERVE) as process:
        body = {"model": MODEL, "messages": MESSAGES}
        assert (await process.ask("POST", CHAT, body)).status == 200
        await sim.behave("next", first_token_ms=1500)
        under_way = asyncio.ensure_future(process.ask("POST", CHAT, body))
        await eventually(lambda: _open_rows(tmp_path))
        (tmp_path / "break").touch()
        for _ in range(3):
            refused = await process.ask("POST", CHAT, body)
            assert (refused.status, error_of(refused)["code"]) == (503, "ledger_unavailable")
        assert (await process.ask("GET", "/readyz")).status == 503
        assert (await under_way).status == 200  # it is paid for; its row stays open, and the next start settles it
        process.signal(signal.SIGTERM)
        assert await process.ended() == 4
        assert "ledger.writer_ended" in process.stderr()


async def _open_rows(folder: Path) -> list[dict[str, Any]]:
    return await asyncio.to_thread(read_rows, folder / "ledger.db", "SELECT id FROM requests WHERE state = 'open'")


async def test_it_stops_by_itself(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request that waits is answered, and the proxy is told that it is broken."""
    monkeypatch.setattr(part_watch, "_EVERY_S", 0.02)
    place = await opened(LIMITED)

    def broken(_self: BatchStatement, _rows: object) -> None:
        raise SystemExit

    monkeypatch.setattr(BatchStatement, "_variant", broken)
    answers = await asyncio.gather(*(place.chat() for _ in range(5)))
    assert {answer.status for answer in answers} == {503}
    await asyncio.wait_for(place.app.broken.wait(), 20)
    assert await place.sim.requests() == []


async def test_what_is_closed_has_not_died(
    opened: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(part_watch, "_EVERY_S", 0)
    place = await opened(LIMITED)
    await place.sim.behave(completion_tokens=30, pace_ms=50)
    client = await place.begin_chat(stream=True)
    await place.arrived(1)
    await place.app.close()
    await client.close()
    assert not place.app.broken.is_set()
    assert "proxy.broken" not in [record.getMessage() for record in caplog.records]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_an_access_log_that_has_ended(
    opened: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told, and lines are written again: nothing else would say that they are missing."""
    monkeypatch.setattr(part_watch, "_EVERY_S", 0.02)
    place = await opened(LIMITED)
    app, stream = place.app, io.StringIO()
    output = Output(stream, "json")
    monkeypatch.setattr(output, "set_level", lambda _level: None)
    app._output = output
    app._log_as(app.live.current.settings)
    first = app._access
    assert first is not None

    def ended(_entries: object) -> None:
        raise SystemExit

    async def is_anew() -> bool:
        return app._access is not first

    async def is_written() -> bool:
        return '"event":"request"' in stream.getvalue()

    with monkeypatch.context() as once:
        once.setattr(output, "write", ended)
        assert (await place.chat()).status == 200
        await eventually(is_anew)
    assert "log.ended" in [record.getMessage() for record in caplog.records]
    assert not app.broken.is_set()
    assert (await place.chat()).status == 200
    await eventually(is_written)


async def test_a_hold_without_an_owner(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told in the log, at /readyz and as a metric; and it is ended by what the ledger says."""
    monkeypatch.setattr(hold_watch, "_EVERY_S", 0.02)
    place = await opened(LIMITED)
    parts = place.app.services
    watch = place.app.holds
    seen: list[int] = []

    async def told() -> bool:
        seen.append(watch.count)
        return not book_of(parts).open_ids() and not place.app.pending.waiting

    identity = place.app.live.current.directory.find(token_hash(token_of("anna")))
    assert identity is not None
    id_ = parts.ledger.ids.next(parts.clock.now_ms())
    outcome = await limiter_of(parts).reserve(
        id_, identity.identity.allowance.scopes, parts.clock.now_ms(), Amounts(5, 0), ()
    )
    assert outcome is None
    await eventually(told)
    assert max(seen) == 1
    assert (await place.limit())["reserved_pusd"] == 0

    real, limiter_of(parts).settle = limiter_of(parts).settle, lambda *_: NOTHING_LEFT  # type: ignore[method-assign]
    assert (await place.chat()).status == 200
    limiter_of(parts).settle = real  # type: ignore[method-assign]
    await eventually(told)
    (row,) = place.rows()
    limit = await place.limit()
    assert (limit["used_pusd"], limit["reserved_pusd"]) == (row["cost_pusd"], 0)

    async def none_left() -> bool:
        return watch.count == 0

    await eventually(none_left)
    metrics = await ask(place.app.port, "GET", "/metrics")
    assert b"tollkeeper_holds_without_owner 0.0" in metrics.body
    verbose = await ask(place.app.port, "GET", "/readyz?verbose")
    assert verbose.json()["holds_without_owner"] == 0


@pytest.mark.parametrize("end", ["returns", "raises", "is cancelled"])
async def test_a_job_that_ends_is_started_again(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    monkeypatch.setattr(job_runner, "_PAUSE_S", 0.05)
    runner = JobRunner()
    starts = 0

    async def job() -> None:
        nonlocal starts
        starts += 1
        if end == "raises":
            raise OSError("no")
        if end == "is cancelled":
            raise asyncio.CancelledError

    runner.start("one", job)

    async def again() -> bool:
        return starts >= 3

    await eventually(again)
    assert list(runner.problems) in (["one"], [])
    await runner.close()
    assert starts >= 3


async def test_what_a_provider_bills_above_the_worst_case_is_shouted(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    place = await opened({"users": {"anna": user("anna", limits={"cost": "$5/day"})}})
    await place.sim.behave("next", extra_cost_pusd=5 * 10**9)
    assert (await place.chat()).status == 200
    (record,) = [record for record in caplog.records if record.message == "request.over_reservation"]
    (row,) = place.rows()
    told = vars(record)
    assert (record.levelname, told["user"], told["model"]) == ("WARNING", "anna", row["model"])
    assert told["request_id"] == row["request_id"]
    metrics = (await ask(place.app.port, "GET", "/metrics")).body
    assert b"tollkeeper_over_reservation_total 1.0" in metrics
    above = (row["cost_pusd"] - row["reserved_pusd"]) / 1e12
    assert f"tollkeeper_over_reservation_usd_total {above}".encode() in metrics
    # one whose figure is looked up later too
    await place.sim.behave("next", usage="missing", extra_cost_pusd=5 * 10**9)
    assert (await place.chat()).status == 200
    await place.quiet()
    assert b"tollkeeper_over_reservation_total 2.0" in (await ask(place.app.port, "GET", "/metrics")).body
