"""What came back from a provider for one attempt."""

from msgspec import Struct

from proxy.wire.usage import Usage

_NO_FLAGS: frozenset[str] = frozenset()


class AttemptResult(Struct, eq=False, gc=False):
    """What came back from the provider for one attempt, filled while it comes.

    dispatched: a byte of the request may have reached the provider. complete: the answer ended as its kind ends.
    failed: the provider itself said that it failed (an error object in a 200), or its answer held nothing at all.
    unproven: what it said leaves open whether the work was done (may_be_billed). usage_is_open:
    content came after the usage, or might have. least_tokens: what came cannot be fewer. generates False: an answer has
    no output to count.
    """

    dispatched: bool = False
    status: int | None = None
    generation_id: str | None = None
    model: str | None = None
    served_by: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    failed: bool = False
    unproven: bool = False
    content_seen: bool = False
    complete: bool = False
    aborted: bool = False
    error: str | None = None  # code of docs/reference/errors.md
    canned: bool = False  # a static target's: nobody charges for it
    error_code: str | None = None  # the provider's own word or number
    flags: frozenset[str] = _NO_FLAGS
    first_byte_s: float | None = None
    usage_is_open: bool = False
    least_tokens: int = 0
    generates: bool = True
