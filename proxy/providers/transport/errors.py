"""Ways in which an exchange with a provider can break."""

from typing import Literal

Kind = Literal[
    "unreachable",
    "tls",
    "connect_timeout",
    "header_timeout",
    "first_token_timeout",
    "idle_timeout",
    "total_timeout",
    "broken",
]


class TransportError(Exception):
    """The exchange broke. dispatched False: certainly no byte of the request was sent."""

    def __init__(self, kind: Kind, text: str, *, dispatched: bool) -> None:
        super().__init__(text)
        self.kind = kind
        self.dispatched = dispatched
