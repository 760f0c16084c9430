"""What happens to a request whose Idempotency-Key was used before: it runs, or learns the first one's result. Pure."""

from typing import Literal

from msgspec import Struct

Repeat = Literal["anew", "not_over", "over"]


class EarlierRequest(Struct, frozen=True):
    """The request that had the key before, as in its row of the ledger. state None: it has no row."""

    request_id: int
    state: str | None
    status: int | None
    error: str | None
    cost_pusd: int | None


def repeat_of(earlier: EarlierRequest | None) -> Repeat:
    """Decide by one rule: nothing is billed twice, and what certainly cost nothing and failed may be tried again.

    A request without a row was never sent: the row is on disk before the first byte is.
    """
    if earlier is None or earlier.state is None:
        return "anew"
    if earlier.state in ("open", "pending"):
        return "not_over"
    failed = earlier.error is not None or earlier.status is None or earlier.status >= 400
    is_free = earlier.state == "released" or earlier.cost_pusd == 0
    return "anew" if failed and is_free else "over"
