"""What is asked about single requests: those of the ledger and those that were refused, newest first."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from msgspec import Struct

from proxy.storage.refusals import RefusalSelection, RefusalSum

REFUSED: Final = "refused"
"""The state of a request that has no row but a refusal."""


class RequestFilter(Struct, frozen=True):
    """Which requests; None: all of them. Times are epoch ms of a request's begin, [since_ms, until_ms).

    model: a pattern (* and ?) of the model that was asked for or that answered. provider: that answered or was asked
    first. status_from and status_below: [from, below) of the status that the client got. after_id: those with a greater
    id. error: a code of docs/reference/errors.md; text: a part of one, or of what a refusal said, in any case.
    charged_in_full: True for those whose reservation is charged, for no id of their answer came; not corrected ones.
    """

    user: str | None = None
    group: str | None = None
    token_id: str | None = None
    model: str | None = None
    provider: str | None = None
    status_from: int | None = None
    status_below: int | None = None
    state: str | None = None
    error: str | None = None
    text: str | None = None
    endpoint: str | None = None
    use_case: str | None = None
    session_id: str | None = None
    cost_min_pusd: int | None = None
    generation_id: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    after_id: int | None = None
    charged_in_full: bool | None = None


class RequestEntry(NamedTuple):
    """One request. Of a refused one state is ``refused``, nothing was sent, and the fields from address on are set.

    cost_pusd is with late corrections, None where it is not known (yet). reason: the text of the answer, where every
    word of it is ours. more: how many refusals alike the entry stands for besides its own.
    """

    id: int
    started_ms: int
    finished_ms: int | None
    user: str | None
    group_name: str | None
    token_id: str | None
    endpoint: str
    requested_model: str | None
    model: str | None
    provider: str | None
    use_case: str | None
    session_id: str | None
    tags: str | None
    status: int | None
    state: str
    error: str | None
    finish_reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    reserved_pusd: int | None
    cost_pusd: int | None
    cost_source: str
    ttft_ms: int | None
    duration_ms: int | None
    streamed: int
    attempts: int
    generation_id: str | None
    flags: str | None
    address: str | None = None
    param: str | None = None
    fault: str | None = None
    reason: str | None = None
    limit_json: str | None = None
    more: int = 0


class AttemptFilter(Struct, frozen=True):
    """Which attempts; None: all of them. model: a pattern of the model that was asked for; outcome: a word."""

    request_id: int | None = None
    provider: str | None = None
    key: str | None = None
    model: str | None = None
    outcome: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


class AttemptEntry(NamedTuple):
    """One upstream call. key is a label; served_by: the provider behind the provider, as it names itself.

    is_byok (1): with an own key there; upstream_cost_pusd: what that one charges, in the cost where is_byok. key_hash:
    SHA-256 of the key in hex. endpoint_id and permaslug: as the provider's bill names them. None: nobody told.
    """

    request_id: int
    n: int
    started_ms: int
    provider: str
    key: str | None
    model: str
    served_model: str | None
    served_by: str | None
    generation_id: str | None
    status: int | None
    outcome: str
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost_pusd: int | None
    cost_source: str
    ttft_ms: int | None
    duration_ms: int | None
    reserved_pusd: int | None
    is_byok: int | None
    upstream_cost_pusd: int | None
    key_hash: str | None
    endpoint_id: str | None
    permaslug: str | None


class RequestPage(Struct, frozen=True):
    """Requests, newest first. before_id: where the next page begins; None: there is none."""

    entries: Sequence[RequestEntry]
    before_id: int | None


class AttemptPage(Struct, frozen=True):
    """Attempts, newest first. before: request and number where the next page begins; None: there is none."""

    entries: Sequence[AttemptEntry]
    before: tuple[int, int] | None


class RefusalCount(NamedTuple):
    """How many refusals had a status and a code."""

    status: int
    error: str
    requests: int


class KeptSince(NamedTuple):
    """Begins of the oldest request and the oldest refusal that are kept (epoch ms); None: there is none."""

    requests_ms: int | None
    refusals_ms: int | None


class RequestReports(Protocol):
    """The part of Reports that shows single requests.

    The work for a page is bounded: one that matches little ends after some ten thousand rows, with fewer entries than
    asked for and the begin of the next.
    """

    def requests(self, wanted: RequestFilter, before_id: int | None, count: int) -> RequestPage:
        """Return up to count requests with ids below before_id, newest first; None: from the newest on."""
        ...

    def request(self, id_: str, now_ms: int) -> tuple[RequestEntry, Sequence[AttemptEntry]] | None:
        """Find a request by its own id (req_...) or that of a generation, with its attempts in order."""
        ...

    def attempts(self, wanted: AttemptFilter, before: tuple[int, int] | None, count: int) -> AttemptPage:
        """Return up to count attempts before one (request, number), newest first; None: from the newest on."""
        ...

    def refusal_counts(self, since_ms: int) -> Sequence[RefusalCount]:
        """Count refusals since a time by status and code, the most frequent first."""
        ...

    def refusal_sums(self, wanted: RefusalSelection, zone: ZoneInfo) -> Sequence[RefusalSum]:
        """Count refused requests of a selection: times of the zone in order, then the most frequent first."""
        ...

    def kept_since(self) -> KeptSince:
        """Return how far back single requests can be found."""
        ...

    def size_bytes(self) -> int:
        """Return what the ledger takes on disk."""
        ...
