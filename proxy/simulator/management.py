"""Answers the paths that cost nothing: models, generation, key, credits, activity, keys."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote

import orjson

from proxy.simulator import analytics, faults, headers, prices, sse
from proxy.simulator.account import MANAGEMENT_PREFIX, KeyFieldError, SimulatedAccount, generation_body
from proxy.simulator.analytics import AnalyticsQueryError
from proxy.simulator.behaviour import Behaviour, Script
from proxy.simulator.books import Books
from proxy.simulator.connection import Connection, Request
from proxy.simulator.faults import FAULTS, ProviderFault
from proxy.simulator.ids import Ids
from proxy.simulator.player import PlaybackProgress, PlaybackStopped, PlayedAnswer, Player
from proxy.simulator.prices import DemoModels

Result = tuple[int, Any]


class _ManagementError(Exception):
    def __init__(self, fault: ProviderFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Management:
    """Serves everything under the base path that is no inference."""

    def __init__(
        self, catalogue: DemoModels, script: Script, books: Books, account: SimulatedAccount, stamp: Ids
    ) -> None:
        self._catalogue = catalogue
        self._script = script
        self._books = books
        self._account = account
        self._stamp = stamp
        self._models_cache: dict[str | None, bytes] = {}
        self._gets: dict[str, Callable[[str, dict[str, list[str]]], Result]] = {
            "generation": self._generation,
            "key": self._key,
            "auth/key": self._key,
            "credits": self._credits,
            "activity": self._activity,
            "keys": self._list_keys,
        }

    async def serve(self, request: Request, connection: Connection, path: str, *, openai: bool) -> None:
        """Answer path (below the base, not yet unquoted) or say that there is nothing."""
        full, _, query = request.target.partition("?")
        behaviour = self._script.for_path(full) or self._script.base
        if behaviour.raw_response is not None:
            await connection.send(behaviour.raw_response.encode("latin-1", "replace"))
            connection.cut(reset=False)
            return
        status: int
        extra: list[tuple[str, str]] = []
        try:
            if behaviour.error is not None:
                raise _ManagementError(FAULTS[behaviour.error])  # noqa: TRY301  # one place writes all refusals
            if openai:
                status, body = self._openai(request, unquote(path))
            else:
                status, body = self._openrouter(request, unquote(path), parse_qs(query))
                if path == "models":
                    extra = [("Cache-Control", "public, max-age=300, stale-while-revalidate=3600")]
        except _ManagementError as refused:
            fault = refused.fault
            status, extra = behaviour.error_status or fault.status, list(fault.headers.items())
            body = faults.openrouter_error(status, fault.message, fault.metadata)
            if openai:
                body = faults.openai_error(status, fault.message)
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        if behaviour.body is not None:
            data = behaviour.body.encode()
        await self._send(connection, behaviour, status, data, extra, openai=openai)

    async def _send(
        self,
        connection: Connection,
        behaviour: Behaviour,
        status: int,
        data: bytes,
        extra: list[tuple[str, str]],
        *,
        openai: bool,
    ) -> None:
        # the sequence is left to requests that cost money, so that looking on changes no id
        write = headers.openai if openai else headers.openrouter
        head = write(self._stamp.now(), "0" * 16, behaviour.content_type or headers.JSON)
        answer = PlayedAnswer(status, head + extra, sse.whole(data, behaviour, 0), "length", len(data))
        try:
            await Player(connection, behaviour, PlaybackProgress(), lambda: None).play(answer)
        except PlaybackStopped:
            return

    # --- OpenRouter

    def _openrouter(self, request: Request, path: str, query: dict[str, list[str]]) -> Result:
        if path in ("models", "embeddings/models") and request.method == "GET":
            outputs = "embeddings" if path.startswith("embeddings") else query.get("output_modalities", [None])[0]
            return 200, self._models(outputs)
        parts = path.split("/")
        if parts[0] == "models" and parts[-1] == "endpoints" and request.method == "GET":
            return self._endpoints("/".join(parts[1:-1]))
        key = self._authorised(request)
        get = self._gets.get(path)
        if get is not None and request.method == "GET":
            return get(key, query)
        if path == "analytics/query" and request.method == "POST":
            return self._analytics(request, key)
        if parts[0] == "keys" and len(parts) <= 2:
            return self._keys(request, key, parts[1] if len(parts) == 2 else None)
        raise _ManagementError(ProviderFault(404, f"Not Found: {request.method} {path}"))

    def _models(self, outputs: str | None) -> bytes:
        cached = self._models_cache.get(outputs)
        if cached is None:
            cached = orjson.dumps(prices.models_body(self._catalogue.models, outputs))
            self._models_cache[outputs] = cached
        return cached

    def _endpoints(self, name: str) -> Result:
        for model in self._catalogue.models:
            if name in (model.id, model.permaslug):
                return 200, prices.endpoints_body(model)
        raise _ManagementError(ProviderFault(404, f"Model {name} not found"))

    @staticmethod
    def _authorised(request: Request) -> str:
        authorization = request.headers.get("authorization", "")
        if not authorization.startswith("Bearer "):
            raise _ManagementError(FAULTS["no-auth" if not authorization else "missing-header"])
        key = authorization.removeprefix("Bearer ")
        if not key.startswith("sk-or-v1-"):
            raise _ManagementError(FAULTS["user-not-found"])
        return key

    @staticmethod
    def _manages(key: str) -> None:
        if not key.startswith(MANAGEMENT_PREFIX):
            raise _ManagementError(FAULTS["management-only"])

    def _generation(self, key: str, query: dict[str, list[str]]) -> Result:
        wanted = query.get("id", [""])[0]
        generation = self._books.generations.get(wanted)
        missing = _ManagementError(ProviderFault(404, f"Generation {wanted} not found"))
        if generation is None or generation.visible_at_s is None:
            raise missing
        behaviour: Behaviour = generation.lookup
        if generation.key_sha256 != self._account.key(key, self._stamp.now()).hash:
            raise missing
        if behaviour.generation_error is not None:
            raise _ManagementError(FAULTS[behaviour.generation_error])
        if behaviour.generation_missing or self._stamp.monotonic_s() < generation.visible_at_s:
            raise missing
        return 200, generation_body(generation)

    def _key(self, key: str, query: dict[str, list[str]]) -> Result:  # noqa: ARG002  # one signature for all
        return 200, self._account.key_info(key, self._stamp.now())

    def _credits(self, key: str, query: dict[str, list[str]]) -> Result:  # noqa: ARG002  # one signature for all
        self._manages(key)
        return 200, self._account.credits()

    def _activity(self, key: str, query: dict[str, list[str]]) -> Result:
        self._manages(key)
        try:
            day, key_sha256 = query.get("date", [None])[0], query.get("api_key_hash", [None])[0]
            return 200, self._account.activity(self._stamp.now(), day, key_sha256)
        except KeyFieldError as error:
            raise _ManagementError(ProviderFault(400, str(error))) from None

    def _analytics(self, request: Request, key: str) -> Result:
        self._manages(key)
        behaviour = self._script.for_path(request.target.partition("?")[0]) or self._script.base
        names = {hashed: key.name for hashed, key in self._account.keys.items()}
        try:
            asked = orjson.loads(request.body)
            return 200, analytics.answer(
                asked, self._books.generations.values(), names, self._stamp.now(), behaviour.rows_max
            )
        except (orjson.JSONDecodeError, AnalyticsQueryError) as error:
            raise _ManagementError(ProviderFault(400, str(error))) from None

    def _list_keys(self, key: str, query: dict[str, list[str]]) -> Result:
        self._manages(key)
        offset = query.get("offset", ["0"])[0]
        disabled = query.get("include_disabled", ["false"])[0] == "true"
        start = int(offset) if offset.isdigit() else 0
        return 200, self._account.list_keys(self._stamp.now(), start, include_disabled=disabled)

    def _keys(self, request: Request, key: str, hashed: str | None) -> Result:
        self._manages(key)
        now = self._stamp.now()
        if hashed is None and request.method == "POST":
            secret = f"sk-or-v1-{self._stamp.word('key', len(self._account.keys), 64)}"
            return 201, self._changed(lambda fields: self._account.create_key(secret, fields, now), request)
        missing = _ManagementError(ProviderFault(404, "API key not found"))
        if hashed is None or hashed not in self._account.keys:
            raise missing
        if request.method == "DELETE":
            del self._account.keys[hashed]
            return 200, {"deleted": True}
        if request.method == "PATCH":
            return 200, self._changed(lambda fields: self._account.change_key(hashed, fields, now), request)
        if request.method == "GET":
            return 200, {"data": self._account.keys[hashed].shown(now)}
        raise missing

    @staticmethod
    def _changed(change: Callable[[dict[str, Any]], Any], request: Request) -> Any:
        try:
            fields = orjson.loads(request.body)
            if not isinstance(fields, dict):
                raise KeyFieldError("the body must be a JSON object")  # noqa: TRY301  # answered like all others
            return change(fields)
        except (orjson.JSONDecodeError, KeyFieldError) as error:
            raise _ManagementError(ProviderFault(400, str(error))) from None

    # --- OpenAI

    def _openai(self, request: Request, path: str) -> Result:
        if not request.headers.get("authorization", "").startswith("Bearer sk-"):
            raise _ManagementError(
                ProviderFault(
                    401,
                    "Incorrect API key provided. You can find your API key at "
                    "https://platform.openai.com/account/api-keys.",
                )
            )
        if request.method == "GET" and path == "models":
            return 200, {"object": "list", "data": self._openai_models()}
        if request.method == "GET" and path.startswith("models/"):
            name = path.removeprefix("models/")
            for model in self._openai_models():
                if model["id"] == name:
                    return 200, model
            raise _ManagementError(ProviderFault(404, f"The model '{name}' does not exist"))
        raise _ManagementError(ProviderFault(404, f"Invalid URL ({request.method} /v1/{path})"))

    def _openai_models(self) -> list[dict[str, Any]]:
        return [
            {
                "id": model.id.removeprefix("openai/"),
                "object": "model",
                "created": prices.CREATED_S,
                "owned_by": "system",
            }
            for model in self._catalogue.models
            if model.id.startswith("openai/") and ":" not in model.id
        ]
