"""What every client must do alike: the same turns, straight to the simulator and through the proxy.

A file of this folder names a client and inherits the turns.
"""

import json
from typing import Any, ClassVar

import pytest

from tests.clients.program import Program, Turn
from tests.support.installation import PROVIDER_KEY, token_of
from tests.support.stand import MODEL, Stand


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="module")
class Matrix:
    """One client at one endpoint."""

    program_file: ClassVar[str]
    endpoint: ClassVar[str] = "chat"
    model: ClassVar[str] = MODEL
    spent_attempts: ClassVar[int] = 1  # what docs/how-to/clients.md tells for a spent budget
    base: ClassVar[str] = "/v1"
    retries: ClassVar[int] = 1  # where the provider fails; its own setting, which is often more, would take minutes

    @property
    def path(self) -> str:
        return "chat/completions" if self.endpoint == "chat" else self.endpoint

    @pytest.fixture(params=[False, True], ids=["plain", "streamed"])
    def stream(self, request: pytest.FixtureRequest) -> bool:
        return bool(request.param)

    def direct(self, served: Stand, **more: Any) -> Turn:
        """A turn past the proxy."""
        given = {"base_url": f"{served.sim.url}/api/v1", "token": PROVIDER_KEY, "model": self.model}
        return Turn(**{**given, "endpoint": self.endpoint, **more})

    def proxied(self, served: Stand, **more: Any) -> Turn:
        given = {
            "base_url": f"http://127.0.0.1:{served.port}{self.base}",
            "token": token_of("anna"),
            "model": self.model,
        }
        return Turn(**{**given, "endpoint": self.endpoint, **more})

    async def both(self, served: Stand, program: Program, behaviour: dict[str, Any], **more: Any) -> tuple[Any, Any]:
        """Take a turn on both sides, each with the simulator at its start; behaviour is for its first request."""
        found = []
        for turn in (self.direct(served, **more), self.proxied(served, **more)):
            await served.clear()
            if behaviour:
                await served.sim.behave(**behaviour)
            found.append(await program.take(turn))
        return found[0], found[1]

    async def books_agree(self, served: Stand) -> int:
        """Hold the ledger against the simulator's books, generation by generation; give how many there were."""
        books = await served.sim.books()
        charged = {name: entry["charged_pusd"] for name, entry in books["generations"].items()}
        rows = await served.settled(len(charged))
        assert {row["generation_id"]: row["cost_pusd"] for row in rows} == charged
        assert all(row["cost_source"] == "provider" for row in rows)
        assert sum(charged.values()) == books["total_pusd"] > 0
        return len(charged)

    async def test_an_answer(self, served: Stand, program: Program, stream: bool) -> None:
        direct, proxied = await self.both(served, program, {}, stream=stream)
        assert proxied == direct
        assert "raised" not in direct
        assert [entry["path"] for entry in await self.asked(served)] == [f"/api/v1/{self.path}"]
        assert await self.books_agree(served) == 1

    async def test_a_tool_call(self, served: Stand, program: Program, stream: bool) -> None:
        """A client that runs tools calls a second time."""
        behaviour = {"target": "next", "tool_calls": 1}
        direct, proxied = await self.both(served, program, behaviour, stream=stream, tool=True)
        assert proxied == direct
        assert "raised" not in direct
        assert "weather" in json.dumps(direct)
        assert await self.books_agree(served) in (1, 2)

    @pytest.mark.sampled(0.4)
    @pytest.mark.parametrize(
        ("error", "fields"),
        [
            ("invalid-model", {}),
            ("bad-parameter", {}),
            ("no-endpoints", {}),
            ("upstream-rate-limit", {"retry_after": "1"}),
            ("server-error", {}),
        ],
    )
    async def test_an_error_of_the_provider(
        self, served: Stand, program: Program, stream: bool, error: str, fields: dict[str, Any]
    ) -> None:
        """The client raises what it would without the proxy, after as many attempts, and nothing is charged."""
        found, arrived = [], []
        more = {"stream": stream, "retries": self.retries}
        for turn in (self.direct(served, **more), self.proxied(served, **more)):
            await served.clear()
            await served.sim.behave(f"model:{self.model}", error=error, **fields)
            found.append(await program.take(turn))
            arrived.append(len(await self.asked(served)))
        assert found[1] == found[0]
        assert "raised" in found[0]
        assert arrived[1] == arrived[0] > 0
        rows = await served.ended(arrived[1])
        assert {(row["state"], row["cost_pusd"]) for row in rows} == {("released", 0)}

    async def test_a_stream_that_breaks(self, served: Stand, program: Program) -> None:
        """The client raises, with our text."""
        await served.clear()
        await served.sim.behave("next", stop_at="after_chunks", stop_after=6, stop_with="rst")
        given = await program.take(self.proxied(served, stream=True))
        assert "broke in the middle" in given["raised"]["text"]

    async def test_a_wrong_token(self, served: Stand, program: Program, stream: bool) -> None:
        """The client takes it for what it is, and shows our text."""
        await served.clear()
        direct = await program.take(self.direct(served, stream=stream, token="nonsense"))
        proxied = await program.take(self.proxied(served, stream=stream, token=token_of("nobody")))
        assert proxied["raised"]["kind"] == direct["raised"]["kind"]
        assert proxied["raised"]["status"] == direct["raised"]["status"]
        assert "tollkeeper tokens add" in proxied["raised"]["text"]

    async def test_a_model_that_is_not_allowed(self, served: Stand, program: Program, stream: bool) -> None:
        raised = (await program.take(self.proxied(served, stream=stream, token=token_of("narrow"))))["raised"]
        assert raised["status"] in (403, None)
        assert "anthropic/*" in raised["text"]

    async def test_a_spent_budget(self, served: Stand, program: Program, stream: bool) -> None:
        """It stops after the documented number of attempts and shows our text."""
        await self.spend(served)
        before = served.app.services.counters.refusals.get((402, "insufficient_quota"), 0)
        raised = (await program.take(self.proxied(served, stream=stream, token=token_of("spender"))))["raised"]
        refused = served.app.services.counters.refusals[402, "insufficient_quota"] - before
        assert refused == self.spent_attempts
        assert raised["status"] in (402, None)  # None: the client does not tell it
        assert "resets" in raised["text"]
        assert "$0.01" in raised["text"]
        assert await self.asked(served) == []

    async def spend(self, served: Stand) -> None:
        """Use spender's budget up, if it is not yet, and forget the way there."""
        await served.clear()
        answer = await served.ask("GET", "/v1/me/limits", token=token_of("spender"))
        if answer.json()["limits"][0]["used_pusd"] == 0:
            await served.sim.behave("next", cost_literal="0.01")
            spent = await served.chat({"max_tokens": 16}, token=token_of("spender"))
            assert spent.status == 200, spent.body
            await served.settled()
        await served.clear()

    async def asked(self, served: Stand) -> list[dict[str, Any]]:
        """What arrived at the simulator to be answered by a model."""
        ends = ("/chat/completions", "/responses", "/messages", "/embeddings")
        return [entry for end in ends for entry in await served.sim.requests(end)]


class Embeddings(Matrix):
    """The same where there is nothing to stream and no tool."""

    endpoint = "embeddings"
    model = "openai/text-embedding-3-small"
    test_a_tool_call = None  # type: ignore[assignment] # so that pytest leaves them out
    test_a_stream_that_breaks = None  # type: ignore[assignment]

    @pytest.fixture(params=[False], ids=["plain"])
    def stream(self) -> bool:
        return False
