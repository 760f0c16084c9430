"""The simulator.

A fake OpenRouter under /api/v1, a fake OpenAI under /openai/v1, and the profiles of real servers under
/profiles/<name>, on one port of this machine.
"""

import asyncio

from proxy.core.clock import Clock, SystemClock
from proxy.simulator.account import SimulatedAccount
from proxy.simulator.behaviour import Behaviour, Script
from proxy.simulator.books import Books
from proxy.simulator.connection import Connection, Request, head_bytes
from proxy.simulator.control import Control
from proxy.simulator.ids import Ids
from proxy.simulator.inference import Inference
from proxy.simulator.management import Management
from proxy.simulator.prices import DemoModels
from proxy.simulator.profiles.profile import Profile
from proxy.simulator.profiles.server import ProfileServer
from proxy.simulator.profiles.table import PROFILES
from proxy.simulator.provider import OpenRouterServer, ServedPath, SimulatedProvider
from proxy.simulator.request_log import DEFAULT_KEPT, RequestLog

_BACKLOG = 4096  # a storm opens its connections all at once
_OPENROUTER = "/api/v1/"
_OPENAI = "/openai/v1/"
_CONTROL = "/_sim/"


class Simulator:
    """One simulator with its own books; parts share nothing with another one in the same process.

    seed: text and ids follow from it (None: a new one). pace_ms: before each streamed chunk, unless a
    behaviour says otherwise. friendly: answers greet, unless a behaviour says otherwise. kept_requests: how many
    requests /_sim/requests remembers (None: all).
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        pace_ms: int = 0,
        friendly: bool = False,
        kept_requests: int | None = DEFAULT_KEPT,
        clock: Clock | None = None,
    ) -> None:
        self._script = Script(Behaviour(pace_ms=pace_ms, friendly=friendly))
        self.books = Books()
        self._received = RequestLog()
        self._received.keep(kept_requests)
        account, stamp, catalogue = SimulatedAccount(), Ids(clock or SystemClock(), seed), DemoModels()
        inference = Inference(catalogue, self._script, self.books, account, stamp)
        management = Management(catalogue, self._script, self.books, account, stamp)
        self._openrouter = SimulatedProvider(inference, management, openai=False)
        self._openai = SimulatedProvider(inference, management, openai=True)
        self._profiles = {name: _served(profile, self._script, stamp) for name, profile in PROFILES.items()}
        self._control = Control(self._script, self.books, self._received, account, stamp, self._profiles)
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self.url = ""

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; url is set afterwards. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._serve, self._connections), host, port, backlog=_BACKLOG
        )
        bound = self._server.sockets[0].getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{bound}"

    async def close(self) -> None:
        """Stop listening, drop every connection, and wait until what was played is in the books."""
        if self._server is None:
            return
        self._server.close()
        running = [c.task for c in self._connections if c.task is not None]
        for connection in list(self._connections):
            connection.abort()
        await asyncio.gather(*running, return_exceptions=True)
        await self._server.wait_closed()
        await asyncio.sleep(0)  # connection_lost of the aborted transports runs in the next turn
        self._server = None

    async def _serve(self, request: Request, connection: Connection) -> None:
        path = request.target.partition("?")[0]
        if path.startswith(_CONTROL):
            await self._control.serve(request, connection, path.removeprefix(_CONTROL))
            return
        self._received.add(request)
        if path.startswith(_OPENROUTER):
            await self._openrouter.serve(request, connection, path.removeprefix(_OPENROUTER))
        elif path.startswith(_OPENAI):
            await self._openai.serve(request, connection, path.removeprefix(_OPENAI))
        elif (profile := self._profile(path)) is not None:
            await profile.serve(request, connection, path.removeprefix(profile.profile.path + "/"))
        else:
            page = b"<!DOCTYPE html><html><head><title>404</title></head><body>Not Found</body></html>"
            headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(page)))]
            await connection.send(head_bytes(404, headers) + page)

    def _profile(self, path: str) -> ServedPath | None:
        """Return the profile under whose base the path lies, if any."""
        parts = path.split("/", 3)
        found = self._profiles.get(parts[2]) if len(parts) > 3 and parts[1] == "profiles" else None
        return found if found is not None and path.startswith(found.profile.path + "/") else None


def _served(profile: Profile, script: Script, stamp: Ids) -> ServedPath:
    if profile.kind == "openrouter":
        return OpenRouterServer(profile, script, stamp)
    return ProfileServer(profile, script, stamp)
