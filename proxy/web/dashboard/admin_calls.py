"""The operator's API as pages ask it: in the process, as the operator whose session it is, by the same routes."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
import orjson

from proxy.core.loop_turn import LoopTurn
from proxy.pipeline.context import RequestContext
from proxy.web.admin.route import Operator
from proxy.web.admin.routes import admin
from proxy.web.deps import Deps
from proxy.web.server.collecting_downstream import CollectingDownstream

Query = Mapping[str, str | int | bool | None]
ENTRIES_MAX: Final = 100_000
_A_PAGE: Final = 250  # entries of a list that are written and read at once: no request waits a millisecond for them
_JSON: Final = {"Content-Type": "application/json"}


class AdminCalls:
    """Ask and change over the operator's API; paths are below /admin/v1. Its errors are raised as ApiError."""

    def __init__(self, deps: Deps, operator: Operator) -> None:
        self._deps = deps
        self._operator = operator
        self._turn = LoopTurn()  # an answer from memory would let nobody else run, however many a page asks for

    async def get(self, path: str, query: Query | None = None) -> Any:
        """Return the "data" of an answer; of a list one page of it. None among the query's values is left out."""
        return (await self._ask("GET", path, query))["data"]

    async def page(self, path: str, query: Query | None = None) -> tuple[list[Any], str | None]:
        """Return one page of a list, and the cursor of the next; None at the end."""
        answer = await self._ask("GET", path, query)
        return answer["data"], answer["next_cursor"]

    async def all(self, path: str, query: Query | None = None, *, most: int = ENTRIES_MAX) -> list[Any]:
        """Return the entries of a list over all its pages, up to most."""
        entries: list[Any] = []
        cursor: str | None = None
        while len(entries) < most:
            page, cursor = await self.page(path, {**(query or {}), "limit": _A_PAGE, "cursor": cursor})
            entries += page
            if cursor is None:
                break
        return entries[:most]

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the "data" of the answer to a POST."""
        return (await self._ask("POST", path, None, body or {}))["data"]

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the "data" of the answer to a PATCH."""
        return (await self._ask("PATCH", path, None, body))["data"]

    async def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the "data" of the answer to a PUT."""
        return (await self._ask("PUT", path, None, body))["data"]

    async def delete(self, path: str) -> Any:
        """Return the "data" of the answer to a DELETE."""
        return (await self._ask("DELETE", path, None))["data"]

    async def _ask(
        self, method: str, path: str, query: Query | None, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        services = self._deps.services
        now_ms = services.clock.now_ms()
        target = path.removeprefix("/") + _query_text(query)
        downstream = CollectingDownstream(target, _JSON, b"" if body is None else orjson.dumps(body))
        context = RequestContext(downstream, services.ledger.ids.next(now_ms), services.clock, now_ms)
        await admin(context, self._deps, self._operator, method, target)
        answer: dict[str, Any] = msgspec.json.decode(downstream.collected)  # sums of any size
        await self._turn.rest()
        return answer


def _query_text(query: Query | None) -> str:
    """Return the query as the API reads it, with its mark; yes and no in its words."""
    given = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in (query or {}).items()
        if value is not None
    }
    return f"?{urlencode(given)}" if given else ""
