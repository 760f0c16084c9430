"""The simulator's rich imitations, OpenRouter and OpenAI: which part answers a path below their base."""

from typing import Protocol

from proxy.simulator.account import SimulatedAccount
from proxy.simulator.api import APIS
from proxy.simulator.behaviour import Script
from proxy.simulator.books import Books
from proxy.simulator.connection import Connection, Request
from proxy.simulator.ids import Ids
from proxy.simulator.inference import Inference
from proxy.simulator.management import Management
from proxy.simulator.prices import DemoModels
from proxy.simulator.profiles.profile import Profile

_OPENAI_PATHS = frozenset(("chat/completions", "completions", "embeddings", "responses"))


class ServedPath(Protocol):
    """What answers under the path of a profile, and keeps its books."""

    profile: Profile
    books: Books

    async def serve(self, request: Request, connection: Connection, path: str) -> None:
        """Answer one request; path is what stands behind the profile's base."""


class SimulatedProvider:
    """OpenRouter or OpenAI as one set of books sees it."""

    def __init__(self, inference: Inference, management: Management, *, openai: bool) -> None:
        self._inference = inference
        self._management = management
        self._openai = openai

    async def serve(self, request: Request, connection: Connection, path: str) -> None:
        """Answer one request; path is what stands behind the base."""
        openai = self._openai
        if request.method == "POST" and path in APIS and (not openai or path in _OPENAI_PATHS):
            await self._inference.serve(request, connection, APIS[path], openai=openai)
        elif request.method == "POST" and path == "messages/count_tokens" and not openai:
            await self._inference.count_tokens(request, connection)
        else:
            await self._management.serve(request, connection, path, openai=openai)


class OpenRouterServer:
    """The profile of OpenRouter: the rich imitation with an account and books of its own."""

    def __init__(self, profile: Profile, script: Script, stamp: Ids) -> None:
        self.profile = profile
        self.books = Books()
        account, catalogue = SimulatedAccount(), DemoModels()
        inference = Inference(catalogue, script, self.books, account, stamp)
        management = Management(catalogue, script, self.books, account, stamp)
        self._provider = SimulatedProvider(inference, management, openai=False)

    async def serve(self, request: Request, connection: Connection, path: str) -> None:
        """Answer one request; path is what stands behind the profile's base."""
        await self._provider.serve(request, connection, path)
