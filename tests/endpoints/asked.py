"""How each endpoint is asked, and where its answers hold the figures."""

import json
from typing import Any, Final

from tests.support.installation import PROVIDER_KEY
from tests.support.raw import Answer, ask
from tests.support.stand import MESSAGES, MODEL, Stand

CLAUDE: Final = "anthropic/claude-sonnet-4.5"
EMBEDDER: Final = "openai/text-embedding-3-small"

BODIES: Final[dict[str, dict[str, Any]]] = {
    "/chat/completions": {"model": MODEL, "messages": MESSAGES},
    "/completions": {"model": MODEL, "prompt": "Say something."},
    "/embeddings": {"model": EMBEDDER, "input": ["Say something.", "Or nothing."]},
    "/responses": {"model": MODEL, "input": "Say something.", "instructions": "Be short."},
    "/messages": {"model": CLAUDE, "messages": MESSAGES, "max_tokens": 64},
}
STREAMED: Final = tuple(path for path in BODIES if path != "/embeddings")
ASKS: Final = [(path, False) for path in BODIES] + [(path, True) for path in STREAMED]
ERROR_KEYS: Final = {"/messages": {"type", "error", "request_id"}}


def body_of(path: str, *, stream: bool = False, **more: Any) -> dict[str, Any]:
    return {**BODIES[path], **({"stream": True} if stream else {}), **more}


async def directly(stand: Stand, path: str, body: dict[str, Any], **more: Any) -> Answer:
    """Ask the simulator itself, past the proxy."""
    return await ask(stand.sim.port, "POST", f"/api/v1{path}", body, token=PROVIDER_KEY, **more)


def error_of(path: str, answer: Answer) -> dict[str, Any]:
    """Give the error of an answer, in the shape of its endpoint."""
    body = answer.json()
    assert set(body) == ERROR_KEYS.get(path, {"error", "request_id"}), body
    found: dict[str, Any] = body["error"]
    return found


def events(body: bytes) -> list[Any]:
    """Give the JSON of each event of a stream, [DONE] left out."""
    lines = [line[6:] for line in body.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if not line.startswith(b"[DONE]")]


def body_sent(request: dict[str, Any]) -> dict[str, Any]:
    """Give the body of a request as it arrived at the provider."""
    found: dict[str, Any] = json.loads(request["body"])
    return found
