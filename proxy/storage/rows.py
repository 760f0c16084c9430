"""The rows that a request leaves, as values handed to the ledger.

Field order is the order of the columns that the writer fills; ids are built by RequestIds.
"""

from dataclasses import dataclass

ID_PREFIX = "req_"
_COUNTER_BITS = 21  # two million requests in one millisecond; 42 bits of milliseconds last until the year 2109

HOUR_MS = 3_600_000


class RequestIds:
    """Integers that grow with time, also over restarts and clocks that step back."""

    def __init__(self, last_id: int) -> None:
        self._last = last_id

    def next(self, now_ms: int) -> int:
        self._last = max(self._last + 1, now_ms << _COUNTER_BITS)
        return self._last


def id_floor(ms: int) -> int:
    """Give the smallest id that a request begun at ms can have."""
    return ms << _COUNTER_BITS


def id_text(request_id: int) -> str:
    """Give the id as users see it: ``req_`` and 16 hex digits."""
    return f"{ID_PREFIX}{request_id:016x}"


def id_number(text: str) -> int | None:
    """Read an id as users see it; None if it is none."""
    digits = text.removeprefix(ID_PREFIX)
    if digits == text or len(digits) != 16:
        return None
    try:
        return int(digits, 16)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class OpenRow:
    """A request before its first byte goes upstream. reserved_pusd None: some target has no known price."""

    id: int
    started_ms: int
    day: str
    user: str
    group_name: str | None
    token_id: str
    endpoint: str
    requested_model: str
    use_case: str | None
    session_id: str | None
    tags: str | None
    reserved_pusd: int | None
    streamed: bool

    def columns(self) -> tuple[object, ...]:
        return (
            self.id,
            self.started_ms,
            self.day,
            self.user,
            self.group_name,
            self.token_id,
            self.endpoint,
            self.requested_model,
            self.use_case,
            self.session_id,
            self.tags,
            self.reserved_pusd,
            int(self.streamed),
        )


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One upstream call before its first byte; key is a label, never the key itself."""

    request_id: int
    n: int
    started_ms: int
    provider: str
    key: str
    model: str

    def columns(self) -> tuple[object, ...]:
        return (self.request_id, self.n, self.started_ms, self.provider, self.key, self.model)


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How one upstream call ended. outcome is a word of docs/ledger.md."""

    request_id: int
    n: int
    outcome: str
    status: int | None
    served_model: str | None
    served_by: str | None
    generation_id: str | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost_pusd: int | None
    cost_source: str
    ttft_ms: int | None
    duration_ms: int | None

    def columns(self) -> tuple[object, ...]:
        return (
            self.request_id,
            self.n,
            self.outcome,
            self.status,
            self.served_model,
            self.served_by,
            self.generation_id,
            self.input_tokens,
            self.output_tokens,
            self.cached_tokens,
            self.reasoning_tokens,
            self.cost_pusd,
            self.cost_source,
            self.ttft_ms,
            self.duration_ms,
        )


@dataclass(frozen=True, slots=True)
class RequestEnd:
    """What a request came to. state is pending, settled or released; cost_pusd None: nobody can tell."""

    id: int
    started_ms: int
    user: str
    group_name: str | None
    use_case: str | None
    finished_ms: int
    model: str | None
    provider: str | None
    status: int
    finish_reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost_pusd: int | None
    cost_source: str
    state: str
    ttft_ms: int | None
    duration_ms: int | None
    attempts: int
    generation_id: str | None
    error: str | None
    flags: str | None
    last_attempt: AttemptEnd | None

    def columns(self) -> tuple[object, ...]:
        return (
            self.id,
            self.finished_ms,
            self.model,
            self.provider,
            self.status,
            self.finish_reason,
            self.input_tokens,
            self.output_tokens,
            self.cached_tokens,
            self.reasoning_tokens,
            self.cost_pusd,
            self.cost_source,
            self.state,
            self.ttft_ms,
            self.duration_ms,
            self.attempts,
            self.generation_id,
            self.error,
            self.flags,
        )

    def hourly_columns(self) -> tuple[object, ...]:
        return (
            self.started_ms - self.started_ms % HOUR_MS,
            self.user,
            self.group_name or "",
            self.model or "",
            self.provider or "",
            self.use_case or "",
            1,
            int(self.error is not None),
            self.input_tokens or 0,
            self.output_tokens or 0,
            self.cached_tokens or 0,
            self.reasoning_tokens or 0,
            self.cost_pusd or 0,
        )


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A request that is open or pending, with all that is known of it and of its last attempt.

    The order of the fields is that of statements.UNFINISHED.
    """

    id: int
    state: str
    started_ms: int
    user: str
    group_name: str | None
    use_case: str | None
    requested_model: str
    reserved_pusd: int | None
    finished_ms: int | None
    status: int | None
    model: str | None
    finish_reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    ttft_ms: int | None
    duration_ms: int | None
    attempts: int
    error: str | None
    flags: str | None
    attempt_n: int | None
    provider: str | None
    attempt_model: str | None
    attempt_status: int | None
    outcome: str | None
    served_model: str | None
    served_by: str | None
    generation_id: str | None
    attempt_ttft_ms: int | None
    attempt_duration_ms: int | None
