"""What arrived: the last requests as received, so that a test can hold them against what was sent."""

from collections import deque
from typing import Any

import orjson

from proxy.simulator.account import key_hash
from proxy.simulator.connection import Request

DEFAULT_KEPT = 1000


class RequestLog:
    """Keeps the last requests; keys and cookies are shown as their SHA-256 only."""

    def __init__(self, kept: int = DEFAULT_KEPT) -> None:
        self._requests: deque[tuple[int, Request]] = deque(maxlen=kept)
        self._count = 0

    def keep(self, kept: int | None) -> None:
        """Keep so many from now on (None: all)."""
        self._requests = deque(self._requests, maxlen=kept)

    def add(self, request: Request) -> None:
        self._count += 1
        self._requests.append((self._count, request))

    def clear(self) -> None:
        self._requests.clear()
        self._count = 0

    def shown(self) -> dict[str, Any]:
        return {
            "count": self._count,
            "requests": [_shown(number, request) for number, request in self._requests],
        }


_SECRET_HEADERS = frozenset(("authorization", "x-api-key", "cookie"))


def _header(name: str, value: str) -> list[str]:
    return [
        name,
        f"sha256:{key_hash(value.removeprefix('Bearer '))}" if name.lower() in _SECRET_HEADERS else value,
    ]


def _shown(number: int, request: Request) -> dict[str, Any]:
    """Show one request: body is the text as it came.

    Json the same parsed and written compactly (null if no JSON).
    """
    try:
        parsed: str | None = orjson.dumps(orjson.loads(request.body)).decode()
    except orjson.JSONDecodeError:
        parsed = None
    return {
        "number": number,
        "method": request.method,
        "path": request.target,
        "headers": [_header(name, value) for name, value in request.raw_headers],
        "body": request.body.decode("utf-8", "replace"),
        "json": parsed,
        "body_bytes": len(request.body),
    }
