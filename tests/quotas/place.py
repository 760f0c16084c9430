"""One installation that a test reconfigures, restarts and moves through time: simulator, proxy, ledger, real sockets.

Wall time stands still until the test moves it, so that no window ends in the middle of a test; the monotonic clock,
by which everything waits, is the true one.
"""

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from proxy.app import App
from proxy.config.load import load_file
from proxy.core.money import pusd_to_usd
from proxy.web.server.sockets import socket_path
from tests.support.book import book_of
from tests.support.control import Controls
from tests.support.installation import ADMIN_TOKEN, settings, token_hash_of, token_of, write_config
from tests.support.leaks import nothing_leaks
from tests.support.patience import eventually
from tests.support.raw import Answer, Client, ask, connect, connect_unix, request_bytes
from tests.support.stand import CHAT, MESSAGES, MODEL, read_rows, simulator

START = "2026-11-18T10:20:30Z"  # a Wednesday in the middle of everything
INPUT_PUSD, OUTPUT_PUSD = 150_000, 600_000  # of MODEL, a token; as the simulator lists and charges it
MODEL_OUTPUT_MAX = 16_384
MODEL_CONTEXT = 128_000
ANSWER_TOKENS = 16  # what the simulator says unless told otherwise


def ms_of(iso: str) -> int:
    return int(datetime.fromisoformat(iso).timestamp() * 1000)


def user(name: str, **more: Any) -> dict[str, Any]:
    """Give a user of the configuration with the token that tests know."""
    return {"token_hash": token_hash_of(name), **more}


def usd(pusd: int) -> str:
    return pusd_to_usd(pusd)


def cost(pusd: int, window: str = "total", mode: str = "hard") -> dict[str, str]:
    """Give a cost limit, exact to the pico-USD."""
    return {"amount": usd(pusd), "window": window, "mode": mode}


def error_of(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["error"]
    return found


class SteeredClock:
    """Wall time as the test says; monotonic time as it is, plus what the test puts it ahead by."""

    def __init__(self, now_ms: int) -> None:
        self.ms = now_ms
        self.ahead_s = 0.0

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return time.monotonic() + self.ahead_s

    problem: str | None = None

    def hear_date(self, header: str | None) -> None:
        """Let a provider's Date header pass: the test knows the time better."""


class Place:
    """A proxy that can be configured anew and restarted on the same ledger; amounts are pico-USD."""

    def __init__(self, folder: Path, sim: Controls, more: Mapping[str, Any]) -> None:
        self.folder = folder
        self.sim = sim
        self.clock = SteeredClock(ms_of(START))
        self.more = dict(more)
        self.guarded = False  # the proxy keeps the guard over its clock, which does not believe in leaps
        self.app: App
        self.clients: list[Client] = []  # closed at the end, also where a test fails in the middle
        self._path = self._write()

    def _write(self) -> Path:
        return write_config(self.folder, settings(self.sim.url, self.more))

    async def start(self, *, models_known: bool = True) -> None:
        def load() -> Any:
            return load_file(self._path, {})

        self.app = App(load)
        if self.guarded:
            self.app._clock._wall_ms = self.clock.now_ms
        else:
            self.app._clock = self.app.health._clock = self.clock  # type: ignore[assignment]
        try:
            await self.app.start(load())
            if models_known:
                await eventually(self._models_known)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        await self.app.close()

    async def restart(self, **more: Any) -> None:
        await self.stop()
        await self.start(**more)

    async def _models_known(self) -> bool:
        listings = [self.app.model_lists.listing(name) for name in self.app.live.current.providers]
        if self.app.model_lists._refreshing:  # the copy on disk is written last
            return False
        return all(listing.tried_s is not None and (listing.models or listing.problem) for listing in listings)

    async def configure(self, more: Mapping[str, Any]) -> None:
        """Replace the configuration and have it taken, as an operator would."""
        self.more = dict(more)
        self._write()
        answer = await ask(self.app.port, "POST", "/admin/v1/reload", {}, token=ADMIN_TOKEN)
        assert answer.status == 200, answer.body

    def move_to(self, iso: str, plus_ms: int = 0) -> None:
        self.clock.ms = ms_of(iso) + plus_ms

    async def operate(self, name: str, fields: Mapping[str, Any]) -> Any:
        """Change users and tokens over the Unix socket beside the ledger."""
        path = socket_path(self.folder / "ledger.db")
        assert path is not None
        async with await connect_unix(str(path)) as client:
            await client.send(request_bytes("POST", f"/admin/v1/{name.replace('.', '/')}", fields))
            answer = await client.read_answer()
        assert answer.status == 200, answer.body
        return answer.json()["data"]

    async def ask(self, who: str, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """Ask as a user of the configuration, or with a token."""
        return await ask(self.app.port, method, path, body, token=_token(who), **more)

    async def chat(self, who: str = "anna", /, **fields: Any) -> Answer:
        return await self.ask(who, "POST", CHAT, body_of(**fields))

    async def begin_chat(self, who: str = "anna", /, **fields: Any) -> Client:
        """Send a request and give the connection, with nothing read."""
        client = await connect(self.app.port)
        self.clients.append(client)
        await client.send(request_bytes("POST", CHAT, body_of(**fields), token=_token(who)))
        return client

    async def explain(self, who: str = "anna", /, **fields: Any) -> dict[str, Any]:
        answer = await self.ask(who, "POST", "/v1/explain", body_of(**fields))
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json()
        return found

    async def worst_case(self, who: str = "anna", /, **fields: Any) -> int:
        """Give what a request would have set aside at most; no limit may be in its way."""
        found = (await self.explain(who, **fields))["worst_case_pusd"]
        assert isinstance(found, int)
        return found

    async def limits(self, who: str = "anna") -> list[dict[str, Any]]:
        answer = await self.ask(who, "GET", "/v1/me/limits")
        assert answer.status == 200, answer.body
        found: list[dict[str, Any]] = answer.json()["limits"]
        return found

    async def limit(self, who: str = "anna", kind: str = "cost") -> dict[str, Any]:
        """Give the only limit of a kind."""
        (found,) = [row for row in await self.limits(who) if row["kind"] == kind]
        return found

    async def charge(self, pusd: int) -> None:
        """Have the simulator charge this much for each answer, and say so."""
        await self.sim.behave("all", cost_literal=usd(pusd))

    async def input_tokens(self, who: str = "rich", /, **fields: Any) -> int:
        """Give the bound on the prompt of a request of MODEL; who has a hard cost limit that nothing reaches."""
        shown = await self.explain(who, **fields)
        tokens, rest = divmod(shown["worst_case_pusd"] - shown["max_tokens"] * OUTPUT_PUSD, INPUT_PUSD)
        assert rest == 0
        found: int = tokens
        return found

    async def limit_of(self, scope: str, kind: str, who: str = "anna") -> dict[str, Any]:
        (found,) = [row for row in await self.limits(who) if (row["scope"], row["kind"]) == (scope, kind)]
        return found

    async def arrived(self, count: int) -> list[dict[str, Any]]:
        """Wait until count requests have reached the provider, and give their bodies."""

        async def look() -> list[dict[str, Any]]:
            found = await self.sim.requests()
            return found if len(found) >= count else []

        found = await eventually(look)
        assert len(found) == count
        return [json.loads(entry["json"]) for entry in found]

    async def models(self) -> list[dict[str, Any]]:
        """Give what the simulator lists at OpenRouter's address, asked past the proxy."""
        found: list[dict[str, Any]] = (await ask(self.sim.port, "GET", "/api/v1/models")).json()["data"]
        return found

    async def list_models(self, models: list[dict[str, Any]], **more: Any) -> None:
        """Have the simulator list these instead."""
        await self.sim.behave("path:/models", body=json.dumps({"data": models}), **more)

    async def refresh(self) -> None:
        """Fetch the list of models, as the background job does."""
        await self.app.model_lists.refresh(self.app.live.current.providers["openrouter"])

    async def quiet(self, left: int = 0) -> None:
        """Wait until so many requests are under way and no figure is awaited."""

        async def look() -> bool:
            return len(self.app.services.in_flight) == left and not self.app.pending.waiting

        await eventually(look)

    def rows(self, query: str = "SELECT * FROM usage ORDER BY request_id") -> list[dict[str, Any]]:
        return read_rows(self.folder / "ledger.db", query)

    async def check_books(self) -> None:
        """Hold the ledger against the simulator's books, generation by generation, and the totals against the rows."""
        await self.quiet()
        books = await self.sim.books()
        charged = {id_: one["charged_pusd"] for id_, one in books["generations"].items()}
        booked = {row["generation_id"]: row["cost_pusd"] for row in self.rows() if row["generation_id"]}
        assert booked == charged
        assert sum(row["cost_pusd"] for row in self.rows()) == books["total_pusd"]
        faults = book_of(self.app.services).audit()
        assert faults == [], faults


def _token(who: str) -> str:
    return who if who.startswith("tk-") else token_of(who)


def body_of(**fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": MESSAGES, "max_tokens": ANSWER_TOKENS, **fields}


@asynccontextmanager
async def place(folder: Path, more: Mapping[str, Any] | None = None) -> AsyncIterator[Place]:
    """Run an installation; more is laid over the configuration of tests/support. Nothing may be left of it."""
    async with nothing_leaks(), simulator() as sim:
        found = Place(folder, sim, more or {})
        await found.start()
        await sim.forget()
        try:
            yield found
        finally:
            for client in found.clients:
                await client.close()
            await found.stop()
