"""An operator's day from the first command to the audit, on a terminal, with real processes and a real SDK's requests.

The simulator charges; its books and the ledger have the last word.
"""

import asyncio
import hashlib
import re
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from proxy.simulator.server import Simulator
from tests.support.control import Controls
from tests.support.installation import PROVIDER_KEY
from tests.support.process import Process, started
from tests.support.raw import Answer
from tests.support.stand import CHAT, read_rows
from tests.tour.terminal import COLUMNS, Terminal

_TOKEN = re.compile(r"tk-\w+")
_MODEL = "openai/gpt-4o-mini"
_OFFICE_KEY = "sk-or-v1-" + "0ff1ce00" * 8
_NEXT_KEY = "sk-or-v1-" + "0badcafe" * 8
_CLIENTS, _REQUESTS = 8, 20  # that run while the key is rotated


class _Day:
    """What a day has: a terminal, the proxy's process and what the provider knows."""

    def __init__(self, terminal: Terminal, proxy: Process, sim: Controls) -> None:
        self.terminal, self.proxy, self.sim = terminal, proxy, sim
        self.token = ""

    async def chat(self, **more: object) -> Answer:
        """Ask as the colleague does."""
        body = {"model": _MODEL, "messages": [{"role": "user", "content": "Say something."}], "max_tokens": 300}
        return await self.proxy.ask("POST", CHAT, {**body, **more}, token=self.token)


def _fits(screen: str) -> str:
    """Return what a command printed, which no line of is wider than the terminal."""
    wide = [line for line in screen.splitlines() if len(line) > COLUMNS]
    assert not wide, wide
    return screen


def _configure(folder: Path, url: str) -> None:
    """Point the file that init wrote to the simulator."""
    path = folder / "config.yaml"
    text = path.read_text()
    text = text.replace("port: 8787", "port: 0", 1)
    text = text.replace("  openrouter:\n", f"  openrouter:\n    base_url: {url}/api/v1\n", 1)
    path.write_text(text)


@pytest.mark.asyncio
async def test_an_operators_day(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        simulator = Simulator()
        await simulator.start()
        stack.push_async_callback(simulator.close)
        terminal = Terminal(tmp_path)
        (tmp_path / "key").write_text(PROVIDER_KEY)
        (tmp_path / "office-key").write_text(_OFFICE_KEY)
        (tmp_path / "next-key").write_text(_NEXT_KEY)
        (tmp_path / "key").chmod(0o600)
        (tmp_path / "office-key").chmod(0o600)
        (tmp_path / "next-key").chmod(0o600)
        screen = await terminal.run("init", "--no-test", "--yes", "--key-file", "key", "--user-limit", "$5/day")
        assert "at most $5/day" in screen
        _configure(tmp_path, simulator.url)
        day = _Day(terminal, await stack.enter_async_context(started(tmp_path, "serve")), Controls(simulator.url))
        await day.proxy.ready()
        await _give_a_colleague_a_key(day)
        await _spend_it(day)
        await _raise(day)
        await _rotate_the_key_under_load(day)
        await _stop_and_go_on(day)
        await _audit(day)


async def _give_a_colleague_a_key(day: _Day) -> None:
    """One command is enough: the token is on the screen, and what it may do."""
    screen = await day.terminal.run("users", "add", "bo", "--limit", "$5/day", "--models", "openai/*")
    found = _TOKEN.search(screen)
    assert found is not None, screen
    day.token = found[0]
    assert (await day.chat()).status == 200


async def _spend_it(day: _Day) -> None:
    """What is asked for after the money is gone is refused; `why` says to whom, by which limit, with what figures."""
    await day.sim.behave("next", cost_literal="4.9999")
    assert (await day.chat()).status == 200
    refused = await day.chat()
    assert refused.status == 402
    assert refused.json()["error"]["limit"] is not None
    request_id = str(refused.header("x-request-id"))
    screen = _fits(await day.terminal.run("why", request_id))
    for said in ("bo", _MODEL, "$5", "402"):
        assert said in screen, screen
    assert "bo" in _fits(await day.terminal.run("users", "list"))
    assert request_id in _fits(await day.terminal.run("requests", "--user", "bo", "--status", "402"))


async def _raise(day: _Day) -> None:
    await day.terminal.run("users", "set", "bo", "--limit", "$20/day")
    assert (await day.chat()).status == 200


async def _rotate_the_key_under_load(day: _Day) -> None:
    """The provider's key is put in place while requests run: none of them fails."""
    await day.terminal.run("keys", "add", "openrouter", "--name", "office", "--key-file", "office-key")
    await day.terminal.run("keys", "disable", "openrouter", "main")
    statuses: list[int] = []

    async def client() -> None:
        statuses.extend([(await day.chat(stream=n % 2 == 0)).status for n in range(_REQUESTS)])

    clients = [asyncio.create_task(client()) for _ in range(_CLIENTS)]
    screen = await day.terminal.run("keys", "rotate", "openrouter", "office", "--key-file", "next-key")
    assert _NEXT_KEY not in screen
    await asyncio.gather(*clients)
    assert set(statuses) == {200}
    assert (await day.chat()).status == 200
    listed = _fits(await day.terminal.run("keys", "list"))
    assert _NEXT_KEY[-4:] in listed
    assert _NEXT_KEY not in listed
    last = dict(map(tuple, (await day.sim.requests())[-1]["headers"]))
    sent = {name.lower(): value for name, value in last.items()}["authorization"]
    assert sent == f"sha256:{hashlib.sha256(_NEXT_KEY.encode()).hexdigest()}"


async def _stop_and_go_on(day: _Day) -> None:
    await day.terminal.run("stop", "--all", "--reason", "checking")
    stopped = await day.chat()
    assert stopped.status == 503
    assert "checking" in stopped.json()["error"]["message"]
    assert "checking" in _fits(await day.terminal.run("stops"))
    await day.terminal.run("resume", "--all")
    assert (await day.chat()).status == 200


async def _audit(day: _Day) -> None:
    """Each change stands in the trail, which nobody has touched; ledger and the provider's books agree."""
    trail = _fits(await day.terminal.run("audit", "log"))
    for action in ("users.add", "users.set", "keys.rotate", "stops.add"):
        assert action in trail, trail
    for secret in (PROVIDER_KEY, _NEXT_KEY, day.token):
        assert secret not in trail
    assert "the chain is whole" in await day.terminal.run("audit", "log", "--verify")
    await day.terminal.run("audit", "check")
    books = await day.sim.books()
    rows = read_rows(day.terminal.folder / "tollkeeper.db", "SELECT sum(cost_pusd) AS booked FROM usage")
    assert rows[0]["booked"] == books["total_pusd"] > 0
