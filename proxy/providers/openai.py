"""OpenAI and servers that speak like it: usage in streams only when asked, nothing to look up; some tell the cost."""

from collections.abc import Mapping
from typing import Any

from proxy.providers.provider import PreparedBody


def _paths(cost_field: str) -> tuple[tuple[str, ...], ...]:
    """Return the places of a field of the usage: in the response of a typed event it stands one level down."""
    path = tuple(cost_field.split("."))
    return (path, ("response", *path)) if path[0] == "usage" else (path,)


class OpenAIDialect:
    has_generations = False
    lists_prices = False

    def __init__(self, cost_field: str | None = None, *, takes_cost: bool = True) -> None:
        """Set cost_field: a dotted path into the answer, or a header's name; None: no reliable cost is reported.

        takes_cost: a cost in ``usage.cost`` counts nevertheless where no price is known.
        """
        self.reports_cost = cost_field is not None
        self.takes_cost = takes_cost
        self.cost_header: str | None = None
        self.cost_paths: tuple[tuple[str, ...], ...] = ()
        if cost_field is not None and "." in cost_field:
            self.cost_paths = _paths(cost_field)
        elif cost_field is not None:  # a stream's head is sent before the cost is known: there the usage has it
            self.cost_header = cost_field.lower()
            self.cost_paths = (("usage", "cost"),)

    def prepare(self, body: dict[str, Any], model: str, *, asks_usage: bool = True) -> PreparedBody:
        """Return the body, asking for usage in streams; stream_options without stream gets 400 from OpenAI."""
        if not asks_usage or body.get("stream") is not True:
            return PreparedBody({**body, "model": model}, hide_usage=False)
        options = body.get("stream_options") or {}
        asked = options.get("include_usage") is True
        return PreparedBody(
            {**body, "model": model, "stream_options": {**options, "include_usage": True}},
            hide_usage=not asked,
        )

    def headers(self, sent: Mapping[str, str]) -> Mapping[str, str]:  # noqa: ARG002 - the protocol's signature
        return {}

    def cancel_stops_bill(self, served_by: str | None) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return False: without a look-up, reading on is the only way to the exact usage."""
        return False
