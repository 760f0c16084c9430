"""Requests that were answered with an error and have no row of their own, as the ledger keeps them."""

from typing import Final, NamedTuple

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
