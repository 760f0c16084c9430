"""The simulator's own controls, asked over its socket as any test program would."""

from typing import Any

from tests.support.raw import Answer, ask

SEED = 7
CREATED = 1_793_539_200  # 2026-11-01T12:00:00Z; any fixed second would do


class Controls:
    """/_sim of one simulator."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.port = int(url.rpartition(":")[2])

    async def _ask(self, method: str, name: str, fields: dict[str, Any] | None = None) -> Any:
        answer = await ask(self.port, method, f"/_sim/{name}", fields)
        assert answer.status == 200, answer.body
        return answer.json()

    async def reset(self, seed: int = SEED, created: int | None = CREATED) -> None:
        """Start anew: the same requests get the same bytes again."""
        await self._ask("POST", "reset", {"seed": seed, "created": created})

    async def behave(self, target: str = "next", **fields: Any) -> None:
        """Set what is done with the next request, or "all", "model:<id>", "path:<end of path>"."""
        await self._ask("POST", "behaviour", {"for": target, **fields})

    async def plant(self, generations: list[dict[str, Any]]) -> None:
        """Write generations of the past into the books."""
        await self._ask("POST", "past", {"generations": generations})

    async def charge(self, id_: str, charged_pusd: int) -> None:
        """Change what was charged for one."""
        await self._ask("POST", "charge", {"id": id_, "charged_pusd": charged_pusd})

    async def normal(self) -> None:
        await self._ask("DELETE", "behaviour")

    async def behaviours(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = await self._ask("GET", "behaviours")
        return found

    async def books(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._ask("GET", "books")
        return found

    async def tell_generations(self) -> None:
        """Let /generation answer for all that is in the books by now."""
        await self._ask("POST", "generations/tell", {})

    async def requests(self, path_end: str = "/chat/completions") -> list[dict[str, Any]]:
        """Give what arrived at a path, oldest first; lists of models and look-ups are left out by the path."""
        shown = await self._ask("GET", "requests")
        return [entry for entry in shown["requests"] if entry["path"].partition("?")[0].endswith(path_end)]

    async def forget(self) -> None:
        """Forget requests and books; behaviours, seed and time stay."""
        await self.forget_requests()
        await self._ask("DELETE", "books")

    async def forget_requests(self) -> None:
        """Forget what arrived; the books go on."""
        await self._ask("DELETE", "requests")

    async def chat(self, body: dict[str, Any], *, api: str = "/api/v1", key: str) -> Answer:
        """Ask the simulator itself, past the proxy."""
        return await ask(self.port, "POST", f"{api}/chat/completions", body, token=key)
