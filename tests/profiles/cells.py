"""What is asked of every profile, and what a user must get: the cells of docs/providers.md. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from proxy.simulator.profiles.profile import KINDS, FailureKind, Profile

Work = Literal["plain", "stream", "tools", "hang_up", "maximum", "cost", "cost_stream", "breaks_off"]
WORKS: Final[dict[Work, str]] = {
    "plain": "plain",
    "stream": "stream",
    "tools": "tools",
    "hang_up": "hang-up",
    "maximum": "own maximum",
    "cost": "cost exact?",
    "cost_stream": "cost of streams exact?",
    "breaks_off": "breaks off in mid-stream",
}
MAXIMUM: Final = 8
"""Tokens of the maximum that the proxy writes for a user with a limit."""
CLASSES: Final = {"cached_tokens": 800, "cache_write_tokens": 200, "reasoning_tokens": 7, "completion_tokens": 9}
"""What is billed in the cells on cost: tokens of every class that the profile has."""

_STOPS: Final[frozenset[FailureKind]] = frozenset(("content_refused",))
"""What one provider refuses because of its content is not carried to the next."""


@dataclass(frozen=True, slots=True)
class Column:
    """One question. spare: the route has a healthy second target; stream: a failure that meets a stream."""

    work: Work | None = None
    failure: FailureKind | None = None
    spare: bool = False
    stream: bool = False

    def __str__(self) -> str:
        return self.work or f"{self.failure}{' stream' if self.stream else ''}{' spare' if self.spare else ''}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One question to one profile."""

    profile: Profile
    column: Column

    def __str__(self) -> str:
        return f"{self.profile.name} {self.column}"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a user gets and the ledger holds.

    status: of the answer. by_spare: the second target answers. code: the proxy's own word in the error, None where the
    provider's body is passed on. exact: the ledger has the bill to the pico-USD; else it is not lower, and flagged.
    """

    status: int
    by_spare: bool = False
    code: str | None = None
    exact: bool = True


def columns() -> Iterator[Column]:
    """Yield every column in the order of the page."""
    for work in WORKS:
        yield Column(work)
    for kind in KINDS:
        for spare in (False, True):
            for stream in (False, True):
                yield Column(None, kind, spare, stream)


def cells(profile: Profile) -> Iterator[Cell]:
    """Yield the cells of one profile; failures that it has no words for are no cells."""
    for column in columns():
        if column.failure is None or column.failure in profile.failures:
            yield Cell(profile, column)


def expected(cell: Cell) -> Expected:
    """Return what must come of a cell."""
    column = cell.column
    if column.work is not None:
        return Expected(200, exact=column.work != "breaks_off")
    assert column.failure is not None
    if column.spare and column.failure not in _STOPS:
        return Expected(200, by_spare=True)
    if column.failure == "bad_key":
        return Expected(502, code="upstream_auth")
    if column.failure == "no_credit":
        return Expected(402, code="upstream_no_credits")
    failure = cell.profile.failures[column.failure]
    if column.stream and failure.in_stream:
        return Expected(200)  # the event is passed on as it came
    return Expected(failure.status, code=None if failure.shape == "object" else "upstream_error")


def body(cell: Cell, prompt: str) -> dict[str, Any]:
    """Return the request's body but for its model."""
    fields: dict[str, Any] = {"messages": [{"role": "user", "content": prompt}]}
    messages = cell.profile.api == "messages"
    if messages:
        fields["max_tokens"] = 100
    if cell.column.stream or cell.column.work in ("stream", "hang_up", "cost_stream", "breaks_off"):
        fields["stream"] = True
    if cell.column.work == "tools":
        schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        function: dict[str, Any] = {"name": "weather", "description": "Tell the weather."}
        if messages:
            fields |= {"tools": [{**function, "input_schema": schema}], "tool_choice": {"type": "any"}}
        else:
            tool = {"type": "function", "function": {**function, "parameters": schema}}
            fields |= {"tools": [tool], "tool_choice": "required"}
    return fields
