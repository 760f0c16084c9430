"""Requests that were answered with an error and have no row of their own, as the ledger keeps them."""

from typing import Final, NamedTuple

from msgspec import Struct

from proxy.policy.time_segments import TIME_WORDS

NAME_CHARS_MAX: Final = 200
"""Of a name from outside: a model, a session."""
REASON_CHARS_MAX: Final = 600


class RefusalRow(NamedTuple):
    """One refusal. The fields are the columns of the table refusals in order.

    address: of a row with more the network. error: a code of docs/reference/errors.md. limit_json: a JSON object, the
    limit that refused and its figures. more: how many alike the row stands for besides the request that it names.
    """

    id: int
    started_ms: int
    user: str | None
    group_name: str | None
    token_id: str | None
    address: str
    endpoint: str
    requested_model: str | None
    use_case: str | None
    session_id: str | None
    status: int
    error: str
    param: str | None
    fault: str
    reason: str | None
    limit_json: str | None
    duration_ms: int
    more: int = 0


REFUSAL_WORDS: Final = (
    *("user", "group", "token", "address", "endpoint", "requested_model", "use_case", "session"),
    *("status", "error", "param", "fault", *TIME_WORDS),
)
"""What refusals are counted by."""


class RefusalSelection(Struct, frozen=True):
    """Which refusals are counted, and by which of REFUSAL_WORDS: those of requests in [since_ms, until_ms)."""

    by: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    user: str | None = None
    error: str | None = None


class RefusalSum(Struct, frozen=True):
    """How many requests were refused. key holds a text for each word, "" for none."""

    key: tuple[str, ...]
    requests: int
