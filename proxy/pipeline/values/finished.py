"""The events of a request's end, which pipeline/events.py publishes.

Each request is one event: RequestFinished where it has a row in the ledger, published once the ledger has answered for
the row's end; RequestRefused where it was answered with an error and has none. Values only: names, counts and amounts,
never a text that a client or a provider wrote but for names that are stored as well.
"""

from typing import NamedTuple

from proxy.core.limit_figures import LimitFigures
from proxy.storage.rows import AttemptEnd, AttemptRow, OpenRow, RequestEnd


class EarlierAttempt(NamedTuple):
    """An attempt that another one followed. row None: the first one, of which the request's own row tells."""

    row: AttemptRow | None
    end: AttemptEnd


class RequestFinished(NamedTuple):
    """A request that has a row: how it began, what it came to, and the attempts before the last.

    end.state pending: its cost is still looked up. is_written False: the ledger refused the end for good, or was
    closed, and the next start finds the row open. own_s: how long the proxy itself had it, before its only attempt and
    after the last byte of that, both writes included; None: it had no attempt, or several.
    """

    row: OpenRow
    end: RequestEnd
    earlier: tuple[EarlierAttempt, ...] = ()
    is_written: bool = True
    own_s: float | None = None


class RequestRefused(NamedTuple):
    """A request that was answered with an error and has no row. path: without what a client made up.

    fault: whose it is. reason: the text of the answer, where every word of it is ours. duration_ms: until the answer.
    limit: the figures of the limit that refused; None: no limit did.
    address: where it came from, of IPv6 the network; empty over the Unix socket.
    """

    request_id: str
    at_ms: int
    user: str | None
    path: str
    model: str | None
    status: int
    code: str
    param: str | None
    reason: str | None
    fault: str
    duration_ms: int
    limit: LimitFigures | None = None
    address: str = ""
    group_name: str | None = None
    token_id: str | None = None
    use_case: str | None = None
    session_id: str | None = None
