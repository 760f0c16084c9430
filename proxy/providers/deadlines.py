"""The time-outs of one exchange with a provider."""

import math

from msgspec import Struct


class Deadlines(Struct, frozen=True):
    """How long each part of an exchange may take, in seconds.

    Keep-alive bytes count as activity for idle_s, but extend neither first_token_s nor total_s; these two and header_s
    are counted from the start.
    """

    connect_s: float
    header_s: float
    idle_s: float
    total_s: float
    first_token_s: float = math.inf
