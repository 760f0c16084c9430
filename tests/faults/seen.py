"""What tests of faults ask of answers and rows, in one word each."""

import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.faults.place import Place, body_of, clean
from tests.support.raw import Answer, ask

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
KINDS = pytest.mark.parametrize("provider", ["openrouter", "plain"])


class Memory:
    """The most memory that this process had since the object was made, above what it had then."""

    def __init__(self) -> None:
        if not Path("/proc/self/clear_refs").exists():
            pytest.skip("the system does not tell the peak of a process's memory")
        Path("/proc/self/clear_refs").write_text("5")  # begins the peak anew: proc(5)
        self._before_bytes = self._peak_bytes()

    def _peak_bytes(self) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024

    def grown_bytes(self) -> int:
        return self._peak_bytes() - self._before_bytes


def guessed(row: dict[str, Any], provider: str) -> tuple[Any, ...]:
    """Give what a row says when nobody can tell any more."""
    source = "reservation" if provider == "openrouter" else "estimate"
    return ("settled", row["reserved_pusd"], source, "usage_missing")


def last_event(answer: Answer) -> dict[str, Any]:
    """Give the error event that ends a stream; nothing follows it, and it is an event of its own."""
    assert answer.end == "complete"
    before, _, last = answer.body.rpartition(b"data: ")
    assert before.endswith(b"\n\n") or not before
    assert last.endswith(b"\n\n")
    assert b"[DONE]" not in answer.body
    found: dict[str, Any] = json.loads(last)["error"]
    return found


def refused(answer: Answer, status: int, code: str) -> None:
    """Check that an answer is an error of our own: whole, JSON, with nothing of the provider's in it."""
    clean(answer)
    assert (answer.status, answer.end, answer.content_type) == (status, "complete", "application/json"), answer
    assert answer.json()["error"]["code"] == code
    assert answer.json()["request_id"] == answer.header("x-request-id")


async def limit(place: Place) -> dict[str, Any]:
    """Give anna's only limit, on cost."""
    answer = await ask(place.app.port, "GET", "/v1/me/limits", token=place.token)
    (found,) = answer.json()["limits"]
    assert isinstance(found, dict)
    return found


async def raised(place: Place, provider: str, *, stream: bool) -> openai.APIError:
    """Ask by the official package and give what it raises."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        client = openai.AsyncOpenAI(
            base_url=f"http://127.0.0.1:{place.app.port}/v1", api_key=place.token, max_retries=0, http_client=http
        )
        with pytest.raises(openai.APIError) as caught:
            await heard_out(client.chat.completions.create(**body_of(provider, stream=stream)))
    return caught.value


async def heard_out(asked: Awaitable[Any]) -> None:
    async for _ in await asked:
        pass
