"""A provider on a real socket that takes what it takes: one function says what it refuses, and how."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from proxy.app import App
from tests.support.book import book_of
from tests.support.installation import settings, token_hash_of, token_of, write_config
from tests.support.leaks import nothing_leaks
from tests.support.patience import eventually
from tests.support.raw import Answer, ask
from tests.support.stand import app_in_loop, read_rows

Body = dict[str, Any]
Refusal = tuple[int, Any]
Refuse = Callable[[str, Body], Refusal | None]

USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, "cost": 0.000017}
USER = {"role": "user", "content": "Hi"}
ASKS: Mapping[str, Body] = {
    "chat/completions": {"messages": [USER]},
    "completions": {"prompt": "Hi"},
    "responses": {"input": "Hi"},
    "messages": {"messages": [USER], "max_tokens": 50},
    "embeddings": {"input": "Hi"},
}


def error(message: str, status: int = 400, **more: Any) -> Refusal:
    return status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **more}}


class Strict:
    """refuse: by the path behind /v1/ and the body. bodies: all that came, in order, with their paths."""

    def __init__(self) -> None:
        self.refuse: Refuse = lambda _path, _body: None
        self.models: list[Body] = []
        self.came: list[tuple[str, Body]] = []
        self.headers: dict[str, str] = {}  # of a refusal
        self.url = ""

    @property
    def bodies(self) -> list[Body]:
        return [body for _, body in self.came]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.partition("/v1/")[2]
        if request.method == "GET":
            return web.json_response({"data": self.models if path == "models" else []})
        body = await request.json()
        self.came.append((path, body))
        refusal = self.refuse(path, body)
        if refusal is not None:
            status, told = refusal
            if isinstance(told, str):
                return web.Response(status=status, text=told)
            if status == 200 and body.get("stream") is True:
                return await _stream(request, [told])
            return web.json_response(told, status=status, headers=self.headers)
        if body.get("stream") is True:
            return await _stream(request, _events(path, body))
        return web.json_response(_whole(path, body))


def _whole(path: str, body: Body) -> Body:
    model = body["model"]
    if path == "embeddings":
        data = [{"object": "embedding", "index": 0, "embedding": [0.1]}]
        return {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": 2, "total_tokens": 2}}
    if path == "messages":
        usage = {"input_tokens": 9, "output_tokens": 2}
        content = [{"type": "text", "text": "Hello."}]
        return {"id": "m1", "type": "message", "role": "assistant", "model": model, "content": content, "usage": usage}
    if path == "responses":
        usage = {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11}
        output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]}]
        return {
            "id": "r1",
            "object": "response",
            "status": "completed",
            "model": model,
            "output": output,
            "usage": usage,
        }
    said = {"text": "Hello."} if path == "completions" else {"message": {"role": "assistant", "content": "Hello."}}
    return {"id": "c1", "model": model, "choices": [{"index": 0, **said, "finish_reason": "stop"}], "usage": USAGE}


def _events(path: str, body: Body) -> list[Any]:
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    said = {"text": "Hello."} if path == "completions" else {"delta": {"role": "assistant", "content": "Hello."}}
    events: list[Any] = [{**head, "choices": [{"index": 0, **said, "finish_reason": "stop"}]}]
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append({**head, "choices": [], "usage": USAGE})
    return [*events, "[DONE]"]


async def _stream(request: web.Request, events: list[Any]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for event in events:
        data = event if isinstance(event, str) else json.dumps(event)
        await response.write(f"data: {data}\n\n".encode())
    await response.write_eof()
    return response


class Place:
    """One proxy with strict providers behind it, each a provider of the configuration by its name."""

    def __init__(self, folder: Path, app: App, strict: Mapping[str, Strict]) -> None:
        self.folder = folder
        self.app = app
        self.strict = strict

    @property
    def one(self) -> Strict:
        return next(iter(self.strict.values()))

    async def ask(self, model: str, path: str = "chat/completions", **fields: Any) -> Answer:
        body = {"model": model, **ASKS[path], **fields}
        return await ask(self.app.port, "POST", f"/v1/{path}", body, token=token_of("anna"))

    async def list_models(self, name: str, *models: Body) -> None:
        """Have a provider list these models, and the proxy know them."""
        self.strict[name].models = list(models)
        for _ in range(2):  # the first may join a fetch of before
            await self.app.model_lists.refresh(self.app.live.current.providers[name])

    async def attempts(self) -> list[tuple[int, str, int | None]]:
        """Return (number, outcome, cost in pico-USD) of all attempts, once nothing is under way."""

        async def idle() -> bool:
            return not self.app.services.in_flight and not self.app.pending.waiting

        await eventually(idle)
        rows = read_rows(self.folder / "ledger.db", "SELECT * FROM attempts ORDER BY request_id, n")
        return [(row["n"], row["outcome"], row["cost_pusd"]) for row in rows]

    def rows(self) -> list[Body]:
        return read_rows(self.folder / "ledger.db", "SELECT * FROM usage ORDER BY request_id")


PRICES = {"*": {"input": 1, "output": 4}}


@asynccontextmanager
async def place(
    folder: Path, more: Mapping[str, Any] | None = None, *, names: tuple[str, ...] = ("strict",), **user: Any
) -> AsyncIterator[Place]:
    """Run a proxy on its default retries and breakers; user: settings of anna, more: of all else.

    A provider named openrouter is of that kind, and one named unknown has no prices. At the end nothing is held, and no
    row is open.
    """
    async with nothing_leaks(), AsyncExitStack() as stack:
        strict = {}
        content = settings("http://unused", {"providers": {"openrouter": None, "plain": None}})
        for name in names:
            found = strict[name] = Strict()
            found.url = await _serve(stack, found)
            content["providers"][name] = {"base_url": f"{found.url}/v1", "api_key": "k"}
            if name not in ("openrouter", "unknown"):
                content["providers"][name]["prices"] = PRICES
        content["ledger"] = {"lookup_timeout_s": 1}
        content["users"] = {"anna": {"token_hash": token_hash_of("anna"), **user}}
        path = write_config(folder, _over(content, more or {}))
        app = await stack.enter_async_context(app_in_loop(path))

        async def listed() -> bool:
            listings = [app.model_lists.listing(name) for name in app.live.current.providers]
            return all(listing.tried_s is not None for listing in listings)

        await eventually(listed)
        made = Place(folder, app, strict)
        yield made
        await made.attempts()
        assert book_of(app.services).open_requests() == {}
        assert {row["state"] for row in made.rows()} <= {"settled", "released"}


async def _serve(stack: AsyncExitStack, strict: Strict) -> str:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", strict.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"


def _over(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in more.items():
        below = merged.get(name)
        merged[name] = _over(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged
