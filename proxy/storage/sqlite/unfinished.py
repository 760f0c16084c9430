"""Read how far requests are: those that are open or pending, and the state of one."""

import sqlite3

from proxy.policy.quota import ModelAnswer
from proxy.storage.rows import RowState, UnfinishedAttempt, UnfinishedRequest
from proxy.storage.sqlite import statements


def read_unfinished(connection: sqlite3.Connection, request_id: int | None = None) -> list[UnfinishedRequest]:
    """Return open and pending requests with all their attempts, oldest first; only one if its id is given."""
    rows = connection.execute(statements.UNFINISHED, (request_id,)).fetchall()
    return [UnfinishedRequest.of_row(row, _attempts_of(connection, row[0])) for row in rows]


def _attempts_of(connection: sqlite3.Connection, request_id: int) -> tuple[UnfinishedAttempt, ...]:
    return tuple(map(UnfinishedAttempt.of_row, connection.execute(statements.ATTEMPTS, (request_id,))))


def read_state(connection: sqlite3.Connection, request_id: int) -> RowState | None:
    """Return how far a request is; None where it has no row."""
    row = connection.execute(statements.STATE, (request_id,)).fetchone()
    if row is None:
        return None
    state, cost_pusd, provider, model, others, tokens, *pieces = row
    return RowState(state, cost_pusd, tokens, tuple(pieces), ModelAnswer(provider, model, others))
