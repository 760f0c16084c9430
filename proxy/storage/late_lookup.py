"""Attempts that were charged in full though the provider named a generation: their cost may be told later."""

from typing import NamedTuple

from proxy.storage.rows import AttemptEnd, RequestEnd

_TOLD = frozenset(("provider", "generation", "price"))


class LateLookup(NamedTuple):
    """One such attempt. tries: how often it was asked for since it was charged.

    others_pusd: what the other attempts of its request are booked at, with their adjustments. key: the name of the
    provider's key that it was sent with.
    """

    request_id: int
    attempt: int
    tries: int
    started_ms: int
    user: str
    group: str | None
    provider: str
    key: str
    model: str
    generation_id: str
    others_pusd: int


class LookupNote(NamedTuple):
    """What becomes of it. next_ms: not before then is it asked for again; None: no more."""

    request_id: int
    attempt: int
    next_ms: int | None


def may_be_told(end: RequestEnd, one: AttemptEnd) -> bool:
    """Return whether an attempt of a request that has ended has a generation and a cost that nobody told."""
    return end.state != "pending" and one.generation_id is not None and one.cost_source not in _TOLD
