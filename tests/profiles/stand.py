"""One proxy on default settings before all profiles at once, and the playing of every cell of the matrix."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxy.app import App
from proxy.core.money import pusd_to_usd
from proxy.simulator.prices import DemoPrice
from proxy.simulator.profiles.profile import Profile
from proxy.simulator.profiles.table import PROFILES
from tests.support.control import Controls
from tests.support.installation import PROVIDER_KEY, token_hash_of, token_of, write_config
from tests.support.leaks import nothing_leaks
from tests.support.patience import eventually
from tests.support.raw import Answer, ask, connect, request_bytes
from tests.support.stand import app_in_loop, models_known, read_rows, simulator

from .cells import CLASSES, DEFAULTS, MAXIMUM, Cell, Column, Leaves, body, having

SPARE, SPARE_MODEL = "spare", "openai/gpt-4o-mini"
_PROMPT = "ledger " * 900  # more than the tokens of all classes in the cells on cost
_LEAVE_EARLY_S = 0.05  # after the request has gone out, before the server begins to answer


@dataclass(slots=True)
class Seen:
    """What came of one cell: the client's answer, the request's row, its attempts, and what was billed for it."""

    cell: Cell
    answer: Answer
    row: dict[str, Any] = field(default_factory=dict)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    billed_pusd: int = 0

    @property
    def booked_pusd(self) -> int | None:
        return None if self.row["cost_pusd"] is None else int(self.row["cost_pusd"])

    @property
    def told_inexact(self) -> bool:
        """Tell whether the row says of itself that it may not be the bill."""
        flags = set((self.row["flags"] or "").split()) - {"client_gone"}
        return bool(flags) or self.row["cost_source"] in ("reservation", "estimate")


def own_prices(price: DemoPrice) -> dict[str, str]:
    """Return a price as a configuration has it; atto-USD a token are pico-USD a million tokens."""
    fields = {
        "input": price.prompt,
        "output": price.completion,
        "cached_input": price.cache_read,
        "cache_write": price.cache_write,
    }
    prices = {name: pusd_to_usd(ausd) for name, ausd in fields.items() if ausd is not None}
    return prices | ({"request": pusd_to_usd(price.request // 10**6)} if price.request else {})


def auth(profile: Profile) -> dict[str, Any]:
    """Return how the key is sent, which the proxy knows by itself only from the name of the real server."""
    return {} if profile.bearer else {"auth": profile.key_header}


def provider(profile: Profile, url: str) -> dict[str, Any]:
    """Return the provider's block: what docs/reference/providers.md says, and nothing of retries, breakers or times."""
    block: dict[str, Any] = {"base_url": f"{url}{profile.path}", "api_key": PROVIDER_KEY, **auth(profile)}
    if profile.kind == "openrouter":
        return {**block, "kind": "openrouter", "prices": {"sim/*": own_prices(profile.models[0].price)}}
    return {**block, "prices": {"*": own_prices(profile.models[0].price)}}


def two_keys(profile: Profile, url: str, first: str) -> dict[str, Any]:
    """Return the provider's block with a key that begins as said, and a good one behind it."""
    block = provider(profile, url)
    del block["api_key"]
    keys = [{"name": "a", "api_key": f"{first}-key"}, {"name": "b", "api_key": PROVIDER_KEY, "priority": 2}]
    return {**block, "keys": keys}


def settings(url: str, profiles: Iterable[Profile]) -> dict[str, Any]:
    """Return a configuration with a provider and two users for each profile; the second has limits."""
    found = list(profiles)
    limits = {"cost": "$1000/day"}
    users = {profile.name: {"token_hash": token_hash_of(profile.name)} for profile in found}
    limited = {
        f"{profile.name}-limited": {
            "token_hash": token_hash_of(f"{profile.name}-limited"),
            "limits": limits,
            "max_tokens": MAXIMUM,
        }
        for profile in found
    }
    return {
        "server": {"port": 0},
        "database": "./ledger.db",
        "providers": {
            SPARE: {"kind": "openrouter", "base_url": f"{url}/api/v1", "api_key": PROVIDER_KEY},
            **{profile.name: provider(profile, url) for profile in found},
            **{f"{p.name}-{first}": two_keys(p, url, first) for p in found for first in ("bad", "empty")},
        },
        "presets": {
            f"{profile.name}-preset": {"targets": [f"{profile.name}/{profile.models[0].id}"], "defaults": DEFAULTS}
            for profile in found
        },
        "users": users | limited,
    }


def classes(profile: Profile) -> dict[str, Any]:
    """Return a behaviour that bills tokens of all the classes that the profile tells."""
    fields = dict(CLASSES)
    if profile.told.cached == "unsaid":
        fields["cached_tokens"] = 0
    if profile.told.writes == "unsaid":
        fields["cache_write_tokens"] = 0
    return fields


class Stand:
    """The proxy, the simulator, and one played cell after the other."""

    def __init__(self, folder: Path, app: App, sim: Controls) -> None:
        self.app = app
        self.sim = sim
        self._database = folder / "ledger.db"

    async def play(self, cells: Iterable[Cell]) -> list[Seen]:
        """Play cells of one column at the same time, each at another profile."""
        found = list(cells)
        await self._idle()
        self.app.health.forget()
        await self.sim.forget()
        await self.sim.normal()
        before = {cell.profile.name: len(await self._rows(cell)) for cell in found}
        await self._behave(found)
        seen = await asyncio.gather(*(self._ask(cell) for cell in found))
        await self._idle()
        for one in seen:
            await self._read(one, before[one.cell.profile.name])
        books = await self.sim._ask("GET", "profiles/books")
        spare = (await self.sim.books())["generations"]
        for one in seen:
            one.billed_pusd = books[one.cell.profile.name]["total_pusd"]
            ids = {attempt["generation_id"] for attempt in one.attempts if attempt["provider"] == SPARE}
            one.billed_pusd += sum(spare[name]["charged_pusd"] for name in ids if name in spare)
        return seen

    async def _behave(self, cells: list[Cell]) -> None:
        for cell in cells:
            fields = dict(cell.column.how.behaviour)
            if cell.column.how.classes:
                fields |= classes(cell.profile)
            if cell.column.failure is not None:
                fields["failure"] = cell.column.failure
            if fields:
                await self.sim.behave(f"path:{cell.profile.path}/{cell.column.how.api or cell.profile.api}", **fields)

    async def _ask(self, cell: Cell) -> Seen:
        profile, how = cell.profile, cell.column.how
        name = profile.name if how.first_key is None else f"{profile.name}-{how.first_key}"
        model = f"{profile.name}-preset" if how.preset else f"{name}/{profile.models[0].id}"
        fields = {"model": model, **body(cell, _PROMPT)}
        if cell.column.spare:
            fields["models"] = [f"{SPARE}/{SPARE_MODEL}"]
        user = f"{profile.name}-limited" if how.limited else profile.name
        if how.leaves is not None:
            return Seen(cell, await self._leave(profile, how.leaves, fields, user))
        return Seen(cell, await self.ask(profile, fields, user, how.api or profile.api))

    async def ask(self, profile: Profile, fields: dict[str, Any], user: str, api: str = "") -> Answer:
        """Make one request; api: the way of asking, else the one that the profile is known for."""
        return await ask(self.app.port, "POST", f"/v1/{api or profile.api}", fields, token=token_of(user))

    async def _leave(self, profile: Profile, leaves: Leaves, fields: dict[str, Any], user: str) -> Answer:
        """Ask and hang up; return what came until then."""
        path = f"/v1/{profile.api}"
        async with await connect(self.app.port) as client:
            await client.send(request_bytes("POST", path, fields, token=token_of(user)))
            if leaves == "early":
                await asyncio.sleep(_LEAVE_EARLY_S)
                return Answer(200)
            answer = await client.read_answer(head_only=True)
            if answer.status == 200:
                end = b"content_block_stop" if profile.api == "messages" else b'"finish_reason":"stop"'
                await client.read_until(b"data: " if leaves == "middle" else end)
            return answer

    async def _idle(self) -> None:
        async def look() -> bool:
            return not self.app.services.in_flight and not self.app.pending.waiting

        await eventually(look)

    async def _rows(self, cell: Cell) -> list[dict[str, Any]]:
        name = cell.profile.name
        query = f"SELECT * FROM usage WHERE user IN ('{name}', '{name}-limited') ORDER BY request_id"  # noqa: S608
        return await asyncio.to_thread(read_rows, self._database, query)

    async def _read(self, seen: Seen, before: int) -> None:
        """Read the row of a request that has ended, and its attempts."""

        async def look() -> list[dict[str, Any]]:
            rows = (await self._rows(seen.cell))[before:]
            return rows if rows and rows[0]["state"] in ("settled", "released") else []

        (seen.row,) = await eventually(look)
        number = int(seen.row["request_id"].removeprefix("req_"), 16)
        query = f"SELECT * FROM attempts WHERE request_id = {number} ORDER BY n"  # noqa: S608
        seen.attempts = await asyncio.to_thread(read_rows, self._database, query)


@asynccontextmanager
async def stand(folder: Path) -> AsyncIterator[Stand]:
    """Run all profiles and one proxy before them in this loop."""
    async with nothing_leaks(), simulator() as sim:
        path = write_config(folder, settings(sim.url, PROFILES.values()))
        async with app_in_loop(path) as app:
            await models_known(app)
            yield Stand(folder, app, sim)


async def play_all(folder: Path, asked: Iterable[Column]) -> dict[str, Seen]:
    """Play columns of the matrix; return what came of each cell by its name."""
    found: dict[str, Seen] = {}
    async with stand(folder) as at:
        for column in asked:
            seen = await at.play(having(column))
            found |= {str(one.cell): one for one in seen}
    return found
