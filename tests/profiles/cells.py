"""What is asked of every profile, and what a user must get: the cells of docs/reference/providers.md. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from proxy.simulator.profiles.profile import KINDS, FailureKind, Profile
from proxy.simulator.profiles.table import PROFILES

Leaves = Literal["early", "middle", "late"]


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of work. title: what the page calls it; behaviour: what the server does.

    limited: the user has a limit on cost and no say in the maximum, so that the proxy writes one and sets money aside.
    preset: the request goes to a preset with defaults. leaves: the client hangs up before the answer, in its middle,
    or when it has ended but for what the server still has to say. classes: tokens of every class are billed.
    api: the way of asking, where it is not the one that the profile is known for.
    first_key: how the key begins that is tried first; a good one comes second.
    exact: the ledger must have the bill to the pico-USD; else at least that much, and say so.
    """

    title: str
    stream: bool = False
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    limited: bool = False
    preset: bool = False
    leaves: Leaves | None = None
    classes: bool = False
    api: str | None = None
    first_key: Literal["bad", "empty"] | None = None
    exact: bool = True
    status: int = 200


_SLOW: Final = {"pace_ms": 15, "completion_tokens": 16}
_CUT: Final = {"stop_at": "after_chunks", "stop_after": 5, "stop_with": "fin"}
WORKS: Final[dict[str, Work]] = {
    "plain": Work("plain"),
    "stream": Work("stream", stream=True),
    "tools": Work("tools"),
    "tools_stream": Work("tools, streamed", stream=True),
    "hang_up_early": Work("hang-up before the answer", True, {"delay_ms": 150, **_SLOW}, leaves="early"),
    "hang_up": Work("hang-up", True, _SLOW, leaves="middle"),
    "hang_up_late": Work(
        "hang-up before usage",
        True,
        {"stop_at": "before_usage", "stop_with": "hang", "hang_ms": 150},
        leaves="late",
    ),
    "maximum": Work("own maximum", limited=True),
    "maximum_stream": Work("own maximum, streamed", stream=True, limited=True),
    "preset": Work("preset's fields", preset=True),
    "preset_stream": Work("preset's fields, streamed", stream=True, preset=True),
    "cost": Work("cost exact?", classes=True),
    "cost_stream": Work("cost of streams exact?", stream=True, classes=True),
    "second_key": Work("a bad key, a good one", first_key="bad"),
    "second_account": Work("an empty account, a good one", first_key="empty"),
    "responses": Work("/responses", classes=True, api="responses"),
    "responses_stream": Work("/responses, streamed", stream=True, classes=True, api="responses"),
    "completions": Work("/completions", api="completions"),
    "completions_stream": Work("/completions, streamed", stream=True, api="completions"),
    "embeddings": Work("/embeddings", api="embeddings"),
    "no_done": Work("ends without [DONE]", True, {"done": False}),
    "no_usage": Work("no usage", False, {"usage": "missing"}, limited=True, exact=False),
    "no_usage_stream": Work("no usage, streamed", True, {"usage": "missing"}, limited=True, exact=False),
    "breaks_off": Work("breaks off", True, {"stream_error_after": 3}, limited=True, exact=False),
    "cut": Work("connection cut", True, _CUT, limited=True, exact=False),
    "no_answer": Work(
        "no answer", False, {"stop_at": "before_headers", "stop_with": "fin"}, limited=True, exact=False, status=502
    ),
}
DEFAULTS: Final = {"temperature": 0.3, "seed": 7, "stop": ["END"], "max_tokens": 64}
"""What the preset of each profile writes into its requests."""
MAXIMUM: Final = 8
"""Tokens of the maximum that the proxy writes for a user with a limit."""
CLASSES: Final = {"cached_tokens": 800, "cache_write_tokens": 200, "reasoning_tokens": 7, "completion_tokens": 9}
"""What is billed in the cells on cost: tokens of every class that the profile has."""

_PROVE_NOTHING: Final = frozenset((408, 502, 504, 524))
"""Statuses of a gateway that gave up waiting: what they cost is not known."""


@dataclass(frozen=True, slots=True)
class Column:
    """One question. spare: the route has a healthy second target; stream: a failure that meets a stream."""

    work: str | None = None
    failure: FailureKind | None = None
    spare: bool = False
    stream: bool = False

    @property
    def how(self) -> Work:
        """Return the work; of a failure plain work, streamed or not."""
        return Work("", stream=self.stream) if self.work is None else WORKS[self.work]

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


def having(column: Column) -> Iterator[Cell]:
    """Yield the cells of one column; a failure without words, or a way of asking that is not there, is none."""
    for profile in PROFILES.values():
        api = column.how.api
        if (column.failure is None or column.failure in profile.failures) and (api is None or api in profile.more):
            yield Cell(profile, column)


def expected(cell: Cell) -> Expected:
    """Return what must come of a cell."""
    column = cell.column
    if column.work is not None:
        return Expected(column.how.status, exact=column.how.exact)
    assert column.failure is not None
    failure = cell.profile.failures[column.failure]
    exact = failure.status not in _PROVE_NOTHING
    if column.spare:
        return Expected(200, by_spare=True, exact=exact)
    if column.failure == "bad_key":
        return Expected(502, code="upstream_auth")
    if column.failure == "no_credit":
        return Expected(402, code="upstream_no_credits")
    if column.stream and failure.in_stream:
        return Expected(200)  # the event is passed on as it came
    return Expected(failure.status, code=None if failure.shape == "object" else "upstream_error", exact=exact)


_SOURCES: Final = {"responses": "input", "completions": "prompt", "embeddings": "input"}


def body(cell: Cell, prompt: str) -> dict[str, Any]:
    """Return the request's body but for its model."""
    fields: dict[str, Any] = {_SOURCES.get(cell.column.how.api or "", "messages"): prompt}
    if "messages" in fields:
        fields["messages"] = [{"role": "user", "content": prompt}]
    messages = cell.profile.api == "messages"
    if messages:
        fields["max_tokens"] = 100
    if cell.column.how.stream:
        fields["stream"] = True
    if cell.column.work in ("tools", "tools_stream"):
        schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        function: dict[str, Any] = {"name": "weather", "description": "Tell the weather."}
        if messages:
            fields |= {"tools": [{**function, "input_schema": schema}], "tool_choice": {"type": "any"}}
        else:
            tool = {"type": "function", "function": {**function, "parameters": schema}}
            fields |= {"tools": [tool], "tool_choice": "required"}
    return fields
