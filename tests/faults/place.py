"""The real proxy with raw providers behind it: sockets, ledger file and configuration as in use.

Providers: "openrouter" (reports costs, has generations) and "plain" (any server with OpenAI's API, priced by the
configuration), both at the first upstream unless a test says otherwise.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from proxy.app import App
from proxy.core.clock import SystemClock
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.verify import ExpectedTotals, verify
from tests.faults.raw_upstream import RawUpstream
from tests.support.book import book_of
from tests.support.installation import OPENAI_KEY, PRICES, PROVIDER_KEY, settings, token_hash_of, token_of, write_config
from tests.support.leaks import nothing_leaks
from tests.support.patience import eventually
from tests.support.raw import Answer, Client, ask, connect, request_bytes
from tests.support.stand import app_in_loop, read_rows

CHAT: Final = "/v1/chat/completions"
MESSAGES: Final = [{"role": "user", "content": "Tell me a story."}]
MODELS: Final = {"openrouter": "openai/gpt-4o-mini", "plain": "plain/gpt-4o-mini"}
# cost of a good answer by the prices of tests/support: 9 tokens in, 11 out
PRICED_PUSD: Final = 9 * 150_000 + 11 * 600_000
FIGURES: Final = ("state", "cost_pusd", "cost_source", "flags", "error", "status")


class Place:
    """One proxy. Amounts are pico-USD."""

    def __init__(self, folder: Path, app: App, upstreams: list[RawUpstream]) -> None:
        self.folder = folder
        self.app = app
        self.upstreams = upstreams
        self.upstream = upstreams[0]
        self.token = token_of("anna")
        self.clients: list[Client] = []

    async def chat(self, provider: str = "openrouter", *, stream: bool = False, **fields: Any) -> Answer:
        """Make one request as anna on a fresh connection. provider: a name of the configuration, or a model."""
        return await ask(self.app.port, "POST", CHAT, body_of(provider, stream=stream, **fields), token=self.token)

    async def begin_chat(self, provider: str = "openrouter", *, stream: bool = True, **fields: Any) -> Client:
        """Send a request and give the connection, with nothing read."""
        client = await connect(self.app.port)
        self.clients.append(client)
        body = body_of(provider, stream=stream, **fields)
        await client.send(request_bytes("POST", CHAT, body, token=self.token))
        return client

    async def begin_nothing(self) -> Client:
        """Give a fresh connection."""
        client = await connect(self.app.port)
        self.clients.append(client)
        return client

    async def quiet(self) -> None:
        """Wait until nothing is under way and no figure is awaited."""

        async def look() -> bool:
            return not self.app.services.in_flight and not self.app.pending.waiting

        await eventually(look)

    def rows(self) -> list[dict[str, Any]]:
        return read_rows(self.folder / "ledger.db", "SELECT * FROM usage ORDER BY request_id")

    def attempts(self) -> list[dict[str, Any]]:
        return read_rows(self.folder / "ledger.db", "SELECT * FROM attempts ORDER BY request_id, n")

    async def booked(self, attempts: int = 1) -> dict[str, Any]:
        """Give the newest row once it has its figure; its attempts add up to it."""
        await self.quiet()
        row = self.rows()[-1]
        id_ = self.attempts()[-1]["request_id"]
        tries = [attempt for attempt in self.attempts() if attempt["request_id"] == id_]
        assert [attempt["n"] for attempt in tries] == list(range(1, attempts + 1))
        assert row["attempts"] == attempts
        assert sum(attempt["cost_pusd"] or 0 for attempt in tries) == (row["cost_pusd"] or 0)
        row["outcomes"] = [attempt["outcome"] for attempt in tries]
        return row

    async def figures(self, attempts: int = 1) -> tuple[Any, ...]:
        """Give state, cost, source, flags, error and status of the newest row."""
        row = await self.booked(attempts)
        return tuple(row[name] for name in FIGURES)

    async def works(self, provider: str = "openrouter") -> None:
        """Make a plain and a streamed request that nothing is wrong with, and find each booked to the pico-USD."""
        for stream in (False, True):
            answer = await self.chat(provider, stream=stream)
            assert (answer.status, answer.end) == (200, "complete"), answer.body
            row = await self.booked()
            priced = provider == "plain"
            cost_pusd = PRICED_PUSD if priced else self.newest_charge_pusd()
            source = "price" if priced else "provider"
            assert tuple(row[name] for name in FIGURES) == ("settled", cost_pusd, source, None, None, 200)

    def newest_charge_pusd(self) -> int:
        return max((told.charged_pusd, n) for up in self.upstreams for n, told in enumerate(up.told))[0]

    async def check_end(self) -> None:
        """Hold everything against everything: rows, attempts, totals, what is held back, and the providers' books."""
        await self.quiet()
        assert {row["state"] for row in self.rows()} <= {"settled", "released"}
        assert {attempt["outcome"] for attempt in self.attempts()} & {"open"} == set()
        assert book_of(self.app.services).audit() == []
        answer = await ask(self.app.port, "GET", "/v1/me/limits", token=self.token)
        assert [(limit["kind"], limit.get("reserved_pusd")) for limit in answer.json()["limits"]] == [("cost", 0)]
        findings = await asyncio.to_thread(self._audit)
        assert findings.differences == [], findings.differences
        self._hold_against_books()
        self._nobody_was_told_a_key()

    def _audit(self) -> Any:
        connection = open_reader(self.folder / "ledger.db")
        try:
            expected = ExpectedTotals((), ZoneInfo("UTC"), None, 1e9, 1e9)
            return verify(connection, expected, SystemClock().now_ms())
        finally:
            connection.close()

    def _hold_against_books(self) -> None:
        """A figure of the provider's own is what it billed; what it billed and is not booked so is charged higher."""
        charged = {id_: pusd for up in self.upstreams for id_, pusd in up.charged.items()}
        for attempt in self.attempts():
            if attempt["cost_source"] in ("provider", "generation") and attempt["generation_id"] in charged:
                assert attempt["cost_pusd"] == charged[attempt["generation_id"]], attempt

    def _nobody_was_told_a_key(self) -> None:
        for up in self.upstreams:
            for heard in up.requests:
                key = OPENAI_KEY if heard.path.startswith("/openai/") else PROVIDER_KEY
                assert f"Authorization: Bearer {key}".encode() in heard.head
                assert self.token.encode() not in heard.head


def body_of(provider: str, **fields: Any) -> dict[str, Any]:
    return {"model": MODELS.get(provider, provider), "messages": MESSAGES, "max_tokens": 100, **fields}


def clean(answer: Answer) -> Answer:
    """Check that an answer holds no key of ours and no header that is the provider's own business; give it back."""
    told = answer.body + "\n".join(f"{name}: {value}" for name, value in answer.headers).encode()
    for secret in (PROVIDER_KEY, OPENAI_KEY):
        assert secret.encode() not in told
    return answer


def config(upstream: RawUpstream, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    base = settings("http://unused", {})
    base["providers"]["openrouter"]["base_url"] = f"{upstream.url}/api/v1"
    base["providers"]["plain"] |= {"base_url": f"{upstream.url}/openai/v1", "prices": PRICES}
    base["users"] = {"anna": {"token_hash": token_hash_of("anna"), "limits": {"cost": "$1000000"}}}
    base["ledger"] = {"lookup_timeout_s": 1}
    return _over(base, more or {})


def _over(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in more.items():
        below = merged.get(name)
        merged[name] = _over(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged


def short(**seconds: float) -> dict[str, Any]:
    """Give both providers time-outs in seconds, by the names that come before _timeout_s."""
    one = {f"{name}_timeout_s": value for name, value in seconds.items()}
    return {"providers": {"openrouter": one, "plain": one}}


@asynccontextmanager
async def place(
    folder: Path,
    more: Mapping[str, Any] | None = None,
    *,
    upstreams: int = 1,
    models_known: bool = True,
    tls: Any = None,
    edit: Any = None,
) -> AsyncIterator[Place]:
    """Run a proxy; more is laid over its configuration, edit(configuration, upstreams) may change it at will.

    At the end of a test that went well the books are held against each other; nothing may be left of anything.
    """
    async with nothing_leaks(), AsyncExitStack() as stack:
        ups = []
        for n in range(upstreams):
            up = RawUpstream(tls=tls, charge_pusd=1_000_000 * (n + 1))
            await up.up()
            stack.push_async_callback(up.down)
            ups.append(up)
        content = config(ups[0], more)
        if edit is not None:
            edit(content, ups)
        app = await stack.enter_async_context(app_in_loop(write_config(folder, content)))
        found = Place(folder, app, ups)
        if models_known:
            await eventually(lambda: _models_known(app))
            for up in ups:
                up.requests.clear()
        try:
            yield found
            await found.check_end()
        finally:
            for client in found.clients:
                await client.close()


async def _models_known(app: App) -> bool:
    listings = [app.model_lists.listing(name) for name in app.live.current.providers]
    return all(listing.tried_s is not None and (listing.models or listing.problem) for listing in listings)
