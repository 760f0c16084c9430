"""The same request over every Downstream there is: both servers' sockets, memory, a line of a file."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from proxy.config.load import LoadedConfig
from proxy.jobs.alerts.limit_readings import LimitReadings
from proxy.jobs.alerts.outbox import AlertOutbox
from proxy.jobs.alerts.watch import AlertWatch
from proxy.jobs.late_lookups import LateLookups
from proxy.jobs.late_truths import LateTruths
from proxy.jobs.reconciliation.account_sync import AccountSync
from proxy.jobs.reconciliation.bill_corrections import BillCorrections
from proxy.jobs.settle_pending import SettlePending
from proxy.pipeline.context import RequestContext
from proxy.pipeline.services import Services
from proxy.pipeline.snapshot import Snapshot
from proxy.storage.audit import Actor
from proxy.storage.report_process import LongLooks
from proxy.web.admin.people_cache import PeopleCache
from proxy.web.dashboard.open_sessions import OpenSessions
from proxy.web.deps import Deps
from proxy.web.inference import completions_of
from proxy.web.server.serve_one import serve_one
from tests.contracts.downstreams import LineDownstream, MemoryDownstream
from tests.support.patience import eventually
from tests.support.raw import Client, connect
from tests.support.stand import CHAT, Stand


class Got(NamedTuple):
    """An answer, framing undone. is_whole: it ended as its kind says."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool


class Asker(Protocol):
    """One client with one request. parts: its body as it is sent; ends: nothing more comes behind them."""

    async def ask(self, parts: Sequence[bytes], *, ends: bool = True) -> None: ...

    async def answer(self) -> Got:
        """Read all of the answer."""
        ...

    async def read_until(self, mark: bytes) -> None: ...

    async def wait_until_full(self) -> None:
        """Return when no more can be written before something is read; at once where there is always room."""
        ...

    async def hang_up(self) -> None: ...

    async def close(self) -> None: ...


class SocketAsker:
    """A client of one of the servers. A query at the end of the path makes it aiohttp's."""

    def __init__(self, stand: Stand, path: str) -> None:
        self._stand = stand
        self._path = path
        self._client: Client | None = None

    async def ask(self, parts: Sequence[bytes], *, ends: bool = True) -> None:
        self._client = await connect(self._stand.port)
        size = f"Content-Length: {len(parts[0])}" if len(parts) == 1 and ends else "Transfer-Encoding: chunked"
        fields = ("Host: 127.0.0.1", f"Authorization: Bearer {self._stand.token}", "Content-Type: application/json")
        head = "\r\n".join([f"POST {self._path} HTTP/1.1", *fields, size, "", ""]).encode()
        if size.startswith("Content"):
            await self._client.send(head + parts[0])
            return
        chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]
        await self._client.send(head + b"".join(chunks) + (b"0\r\n\r\n" if ends else b""))

    @property
    def client(self) -> Client:
        assert self._client is not None
        return self._client

    async def answer(self) -> Got:
        got = await self.client.read_answer()
        headers = {name.lower(): value for name, value in got.headers}
        return Got(got.status, headers, got.body, got.end == "complete")

    async def read_until(self, mark: bytes) -> None:
        await self.client.read_until(mark)

    async def wait_until_full(self) -> None:
        async def look() -> bool:
            connections = [each for server in self._stand.app._servers for each in server.connections]
            return any(each.transport is not None and each.transport.get_write_buffer_size() for each in connections)

        await eventually(look)

    async def hang_up(self) -> None:
        await self.client.hang_up()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()


class _RunHere:
    """A request that no server reads: it is run by a task of the test."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._task: asyncio.Task[None] | None = None
        self._context: RequestContext | None = None

    def run(self, downstream: MemoryDownstream | LineDownstream) -> None:
        app = self._stand.app
        now_ms = app.services.clock.now_ms()
        self._context = RequestContext(downstream, app.ledger.ids.next(now_ms), app.services.clock, now_ms)
        self._task = asyncio.create_task(_serve(self._context, deps_of(app.services), downstream))
        downstream.task = self._task

    async def ended(self) -> None:
        assert self._task is not None
        await self._task

    def set_gone(self) -> None:
        assert self._context is not None
        self._context.downstream.cut()
        self._context.set_gone()

    async def close(self) -> None:
        if self._task is not None:
            await self._task


async def _serve(context: RequestContext, deps: Deps, downstream: MemoryDownstream | LineDownstream) -> None:
    await serve_one(context, deps, _check_nothing, completions_of(context.endpoint))
    downstream.end()


def _check_nothing(_context: RequestContext, _snapshot: Snapshot) -> None:
    """Let everything pass: no web page reaches these."""


def deps_of(services: Services) -> Deps:
    """Return what the handlers of a server are given, of which inference needs the services alone."""

    async def change(operation: str, **fields: object) -> None:
        raise AssertionError("inference changes no users", operation, fields)

    async def reload(actor: Actor) -> str | None:
        raise AssertionError("inference reloads nothing", actor)

    async def write_refusals() -> bool:
        raise AssertionError("inference looks for no refusal")

    def loaded() -> LoadedConfig:
        raise AssertionError("inference asks for no file")

    parts = (services.ledger, services.live, services.clock, services.limiter, services.counters)
    late = LateTruths(
        services.ledger,
        services.limiter,
        services.health.use,
        services.clock,
        services.events,
        SettlePending(*parts),
    )
    return Deps(
        services=services,
        change=change,
        reload=reload,
        loaded=loaded,
        config_problem=lambda: None,
        clock_problem=lambda: None,
        missing_limits=lambda: (),
        pending=lambda: 0,
        late=late,
        lookups=LateLookups(services.ledger, services.reports, services.live, services.clock, late, lambda: None),
        sync=AccountSync(services, BillCorrections(late, services.live)),
        jobs=dict,
        ownerless=lambda: 0,
        alerts=AlertWatch(services, Path("ledger.db"), lambda: None, lambda _: None),
        outbox=AlertOutbox(services),
        sessions=OpenSessions(services.ledger, services.live, services.clock),
        people=PeopleCache(services.reports, services.live),
        long_looks=LongLooks(services.reports, None),
        limits=LimitReadings(services, lambda _snapshot, _reports: []),
        every_limit=LimitReadings(services, lambda _snapshot, _reports: []),
        write_refusals=write_refusals,
    )


class MemoryAsker(_RunHere):
    """The one that reads an answer out of memory."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(stand)
        self.downstream: MemoryDownstream
        self._broken = asyncio.Event()

    async def ask(self, parts: Sequence[bytes], *, ends: bool = True) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for part in parts:
                yield part
            if not ends:
                await self._broken.wait()
                raise ConnectionResetError

        self.downstream = MemoryDownstream(CHAT, headers_of(self._stand), pieces())
        self.run(self.downstream)

    def break_off(self) -> None:
        """Let no more of the body come, though it is not complete."""
        self._broken.set()

    async def answer(self, *, slowly: bool = False) -> Got:
        """Read all of the answer. slowly: nothing is taken before no more would be written."""
        body = b""
        if slowly:
            await self.wait_until_full()
        while piece := await self.downstream.take():
            body += piece
            if slowly:
                await self.wait_until_full()
        await self.ended()
        found = self.downstream
        return Got(found.status, found.headers, body, found.is_complete)

    async def read_until(self, mark: bytes) -> None:
        got = b""
        while mark not in got:
            got += await self.downstream.take()

    async def wait_until_full(self) -> None:
        async def look() -> bool:
            return self.downstream.waits_for_reader or self.downstream.is_complete

        await eventually(look)

    async def hang_up(self) -> None:
        self.set_gone()


class LineAsker(_RunHere):
    """The one that writes a line and reads one."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(stand)
        self.downstream: LineDownstream
        self._answers: Path = stand.folder / "answers.jsonl"

    async def ask(self, parts: Sequence[bytes], *, ends: bool = True) -> None:
        assert ends, "a line has all of its body"
        body = base64.b64encode(b"".join(parts)).decode()
        self._answers.unlink(missing_ok=True)
        line = json.dumps({"path": CHAT, "headers": headers_of(self._stand), "body": body})
        self.downstream = LineDownstream(line, self._answers)
        self.run(self.downstream)

    async def answer(self) -> Got:
        await self.ended()
        if not self._answers.exists():
            return Got(0, {}, b"", is_whole=False)
        (line,) = self._answers.read_text().splitlines()
        found = json.loads(line)
        return Got(found["status"], found["headers"], base64.b64decode(found["body"]), is_whole=True)

    async def read_until(self, mark: bytes) -> None:
        async def look() -> bool:
            return mark in self.downstream.so_far

        await eventually(look)

    async def wait_until_full(self) -> None:
        """Return at once: a line is never full."""

    async def hang_up(self) -> None:
        self.set_gone()


def headers_of(stand: Stand) -> dict[str, str]:
    return {"Authorization": f"Bearer {stand.token}", "Content-Type": "application/json"}
