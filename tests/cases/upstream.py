"""A provider for one case, on loopback: a thread of the standard library's server that records what it was sent."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

Answer = tuple[int, Mapping[str, str], str | list[str]]
"""Status, headers, and the body: whole, or as the pieces of a chunked one."""


class Request(NamedTuple):
    """What came; body is parsed."""

    path: str
    authorization: str | None
    body: Any


Provider = Callable[[Request], Answer]

JSON = {"Content-Type": "application/json"}
EVENTS = {"Content-Type": "text/event-stream"}
COUNTS = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def chunk(model: str, choices: list[Any], **more: Any) -> str:
    """Return one event of a streamed chat completion."""
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": choices, **more}
    return f"data: {json.dumps(body)}\n\n"


def good(body: Mapping[str, Any], usage: Mapping[str, Any] = COUNTS) -> Answer:
    """Return a chat completion that says hello, streamed if the request asks for it."""
    model = body["model"]
    if body.get("stream"):
        said = {"index": 0, "delta": {"role": "assistant", "content": "Hello."}, "finish_reason": None}
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        pieces = [chunk(model, [said]), chunk(model, [end]), chunk(model, [], usage=usage), "data: [DONE]\n\n"]
        return 200, EVENTS, pieces
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
    whole = {"id": "c1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}
    return 200, JSON, json.dumps(whole)


def refuse(status: int, body: Any) -> Answer:
    """Return an error; a text is sent as it is."""
    return status, JSON, body if isinstance(body, str) else json.dumps(body)


def models(*ids: str) -> Answer:
    """Return a list of models as OpenAI gives it."""
    return 200, JSON, json.dumps({"object": "list", "data": [{"id": one, "object": "model"} for one in ids]})


def catalogue(*entries: Mapping[str, Any]) -> Answer:
    """Return OpenRouter's list of models."""
    return 200, JSON, json.dumps({"data": entries})


def events(*messages: Mapping[str, Any]) -> Answer:
    """Return a stream of events that are named by their type, as Anthropic sends it."""
    return 200, EVENTS, [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in messages]


def listed(model: str, context: int, output_max: int | None) -> dict[str, Any]:
    """Return an entry of OpenRouter's list of models."""
    return {
        "id": model,
        "canonical_slug": model,
        "name": model,
        "created": 1,
        "context_length": context,
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
        "pricing": {"prompt": "0.00000015", "completion": "0.0000006"},
        "top_provider": {"context_length": context, "max_completion_tokens": output_max},
        "supported_parameters": ["max_tokens", "reasoning"],
    }


@contextmanager
def serving(answer: Provider, listing: Answer) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Run the provider; yield its origin and the list of requests that it fills (method, path, authorization, body)."""
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing: the record is what counts."""

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(raw) if raw else None
            authorization = self.headers.get("Authorization")
            seen.append({"method": self.command, "path": self.path, "authorization": authorization, "body": body})
            if self.command == "POST":
                status, headers, content = answer(Request(self.path, authorization, body))
            else:  # OpenRouter's second list, of embedding models, is empty
                status, headers, content = catalogue() if self.path.endswith("/embeddings/models") else listing
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if isinstance(content, str):
                self.send_header("Content-Length", str(len(content.encode())))
                self.end_headers()
                self.wfile.write(content.encode())
                return
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in content:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece.encode()), piece.encode()))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
