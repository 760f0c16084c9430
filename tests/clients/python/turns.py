"""Answers turns: one JSON object a line on stdin, what came of it as one line on stdout.

One process answers all turns of a client, for importing one takes seconds. What a turn gives is the client's own
object, as JSON; an exception gives {"raised": {"kind", "status", "text"}}, as the client's user would see it.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

WORDS = "What is the weather in Paris?"


@dataclass(frozen=True, slots=True)
class Turn:
    """base_url ends in /v1; endpoint is chat, responses, messages or embeddings; retries None leaves the default."""

    base_url: str
    token: str
    model: str
    endpoint: str
    stream: bool
    tool: bool
    retries: int | None

    def settings(self) -> dict[str, Any]:
        """Give the setting of the clients that have one for it."""
        return {} if self.retries is None else {"max_retries": self.retries}


def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"Rain in {city}."


WEATHER_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def answer_turns(take: Callable[[Turn], Any]) -> None:
    """Read turns until stdin ends. What a client prints goes to stderr."""
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        try:
            given = take(Turn(**json.loads(line)))
        except Exception as error:  # noqa: BLE001 - whatever a client raises is what the test asks for
            given = {"raised": _told(error)}
        print(json.dumps(given, default=str), file=out, flush=True)


def _told(error: BaseException) -> dict[str, Any]:
    """Tell an exception; the status stands on it, or on one that it came from."""
    looked: BaseException | None = error
    while looked is not None and getattr(looked, "status_code", None) is None:
        looked = looked.__cause__ or looked.__context__
    kind = type(error)
    return {
        "kind": f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}",
        "status": getattr(looked, "status_code", None),
        "text": str(error),
    }
