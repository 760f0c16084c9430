"""The simulator's own books: what it charged for every generation, in memory, apart from everything else.

Amounts are integers of pico-USD. charged_pusd is what a true ledger books for the generation: OpenRouter's
cost, and with an own provider key (BYOK) the provider's bill on top of it; upstream_pusd is that part alone.
"""

from typing import Any

from msgspec import Struct, field

from proxy.simulator.behaviour import Behaviour


class Generation(Struct):
    """One generation. finished = the books are closed on it; until then the amounts are 0."""

    id: str
    seq: int
    endpoint: str
    model: str
    provider: str
    streamed: bool
    prompt_tokens: int
    session_id: str | None
    user: str | None
    key_sha256: str
    created: int
    started_s: float
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    charged_pusd: int = 0
    upstream_pusd: int = 0
    cost_literal: str | None = None
    total_json: str = "0"
    cancelled: bool = False
    finished: bool = False
    status: int = 200
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    is_byok: bool = False
    permaslug: str = ""
    visible_at_s: float | None = None
    lookup: Any = None  # the behaviour, for what /generation does
    user_agent: str | None = None
    billed: int | None = None  # the second in which it came on the bill; None: when it was made

    @property
    def billed_s(self) -> int:
        """Return the Unix second by which the account counts it."""
        return self.created if self.billed is None else self.billed

    def shown(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "endpoint": self.endpoint,
            "model": self.model,
            "provider": self.provider,
            "charged_pusd": self.charged_pusd,
            "upstream_pusd": self.upstream_pusd,
            "cost_literal": self.cost_literal,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cached_tokens": self.cached_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "streamed": self.streamed,
            "cancelled": self.cancelled,
            "finished": self.finished,
            "finish_reason": self.finish_reason,
            "status": self.status,
            "session_id": self.session_id,
            "user": self.user,
            "key_sha256": self.key_sha256,
            "created": self.created,
        }


class RefusedRequest(Struct, frozen=True):
    """A request that was answered without a generation: nothing was charged."""

    seq: int
    endpoint: str
    status: int
    model: str
    session_id: str | None
    user: str | None
    key_sha256: str

    def shown(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__struct_fields__}


class Books(Struct):
    generations: dict[str, Generation] = field(default_factory=dict)
    errors: list[RefusedRequest] = field(default_factory=list)
    total_pusd: int = 0

    def open(self, generation: Generation) -> None:
        self.generations[generation.id] = generation

    def close(self, generation: Generation, charged_pusd: int) -> None:
        """Write the final amount; a generation is closed once."""
        if generation.finished:
            raise RuntimeError(f"{generation.id} is closed in the books already")
        generation.charged_pusd = charged_pusd
        generation.finished = True
        if self.generations.get(generation.id) is generation:  # the books may have been cleared meanwhile
            self.total_pusd += charged_pusd

    def tell(self) -> int:
        """Let /generation answer for all that is closed, whatever was said of it before; return how many that are."""
        finished = [generation for generation in self.generations.values() if generation.finished]
        for generation in finished:
            generation.visible_at_s, generation.lookup = 0.0, Behaviour()
        return len(finished)

    def clear(self) -> None:
        self.generations = {}
        self.errors = []
        self.total_pusd = 0

    def shown(self) -> dict[str, Any]:
        return {
            "total_pusd": self.total_pusd,
            "requests": len(self.generations) + len(self.errors),
            "open": sum(not g.finished for g in self.generations.values()),
            "generations": {g.id: g.shown() for g in self.generations.values()},
            "errors": [refused.shown() for refused in self.errors],
        }
