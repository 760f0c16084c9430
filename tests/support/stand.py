"""A whole installation in the test's own event loop: simulator, proxy and ledger over real sockets and files."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from proxy.app import App
from proxy.config.load import load_file
from proxy.core.clock import Clock
from proxy.simulator.server import Simulator
from proxy.storage.sqlite.ledger import SqliteLedger
from tests.support.control import SEED, Controls
from tests.support.installation import settings, token_of, write_config
from tests.support.leaks import nothing_leaks
from tests.support.patience import eventually
from tests.support.raw import Answer, Client, ask, connect, request_bytes

MODEL = "openai/gpt-4o-mini"
MESSAGES: list[Any] = [{"role": "user", "content": "Say something."}]
CHAT = "/v1/chat/completions"


class Stand:
    """One proxy with one simulator behind it. Amounts are pico-USD."""

    def __init__(self, folder: Path, app: App, sim: Controls) -> None:
        self.folder = folder
        self.database = folder / "ledger.db"
        self.app = app
        self.port = app.port
        self.sim = sim
        self.token = token_of("anna")

    async def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """Make one request as anna on a fresh connection."""
        return await ask(self.port, method, path, body, **{"token": self.token, **more})

    async def chat(self, body: Mapping[str, Any] | None = None, **more: Any) -> Answer:
        """Ask for one chat completion as anna."""
        return await self.ask("POST", CHAT, {"model": MODEL, "messages": MESSAGES, **(body or {})}, **more)

    async def begin_chat(self, body: Mapping[str, Any] | None = None) -> Client:
        """Send a chat completion and give the connection, with nothing read."""
        client = await connect(self.port)
        fields = {"model": MODEL, "messages": MESSAGES, **(body or {})}
        await client.send(request_bytes("POST", CHAT, fields, token=self.token))
        return client

    async def rows(self, query: str = "SELECT * FROM usage ORDER BY request_id") -> list[dict[str, Any]]:
        """Read the ledger file as a report would."""
        return await asyncio.to_thread(read_rows, self.database, query)

    async def settled(self, count: int = 1) -> list[dict[str, Any]]:
        """Wait until the ledger has count rows and none of them is open or pending, and give them."""

        async def look() -> list[dict[str, Any]]:
            rows = await self.rows()
            return rows if len(rows) == count and all(row["state"] in ("settled", "released") for row in rows) else []

        return await eventually(look)

    async def ended(self, count: int = 1) -> list[dict[str, Any]]:
        """Wait until the ledger has count rows and none of them is open; pending ones may be among them."""

        async def look() -> list[dict[str, Any]]:
            rows = await self.rows()
            return rows if len(rows) == count and all(row["state"] != "open" for row in rows) else []

        return await eventually(look)

    async def clear(self) -> None:
        """Empty the ledger, the simulator and what is known of providers, once nothing is under way any more."""

        async def idle() -> bool:
            return not self.app.services.in_flight and not self.app.pending.waiting

        await eventually(idle)
        await sqlite_ledger(self.app).change(_empty)
        await self.reset()

    async def reset(self) -> None:
        """Begin anew on both sides: no behaviour set, no breaker open, no key set aside."""
        await self.sim.reset()
        self.app.health.forget()


def sqlite_ledger(app: App) -> SqliteLedger:
    """Return the ledger of a running proxy, for tests that change its file by hand."""
    assert isinstance(app.ledger, SqliteLedger)
    return app.ledger


def _empty(connection: sqlite3.Connection) -> None:
    for table in ("requests", "attempt_rows", "usage_hourly", "adjustments", "refusals"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - the names stand in the line above


def read_rows(database: Path, query: str) -> list[dict[str, Any]]:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]
    finally:
        connection.close()


@asynccontextmanager
async def simulator(clock: Clock | None = None) -> AsyncIterator[Controls]:
    """Run a simulator in this loop; clock: this machine's, unless given."""
    sim = Simulator(seed=SEED, clock=clock)
    await sim.start()
    try:
        yield Controls(sim.url)
    finally:
        await sim.close()


@asynccontextmanager
async def stand(folder: Path, more: Mapping[str, Any] | None = None, **parts: Any) -> AsyncIterator[Stand]:
    """Run a proxy and its simulator in this loop; more is laid over the configuration, parts are handed to App.

    When it ends, no task and no descriptor is left.
    """
    async with nothing_leaks(), simulator() as sim:
        path = write_config(folder, settings(sim.url, more))
        async with app_in_loop(path, **parts) as app:
            found = Stand(folder, app, sim)
            await models_known(app)
            await sim.forget()
            yield found


@asynccontextmanager
async def app_in_loop(path: Path, environ: Mapping[str, str] | None = None, **parts: Any) -> AsyncIterator[App]:
    """Run a proxy in this loop."""

    def load() -> Any:
        return load_file(path, environ or {})

    app = App(load, **parts)
    try:
        await app.start(load())
        yield app
    finally:
        await app.close()


async def models_known(app: App) -> None:
    """Wait for the first lists of models: a request that comes before them has no price."""

    async def look() -> bool:
        listings = [app.model_lists.listing(name) for name in app.live.current.providers]
        if app.model_lists._refreshing:  # the copy on disk is written last
            return False
        return all(listing.tried_s is not None and (listing.models or listing.problem) for listing in listings)

    await eventually(look)
