"""What a client says about its request beside the body."""

from msgspec import Struct


class Tags(Struct, frozen=True):
    use_case: str | None
    session_id: str | None
    pairs: str | None  # a JSON object of strings
    idempotency_key: str | None = None
