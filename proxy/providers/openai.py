"""OpenAI and servers that speak like it: usage in streams only when asked, no cost, nothing to look up."""

from collections.abc import Mapping
from typing import Any

from proxy.providers.rows import Prepared


class OpenAIDialect:
    reports_cost = False
    has_generations = False

    def prepare(self, body: dict[str, Any], model: str, *, asks_usage: bool = True) -> Prepared:
        """Ask for usage in streams; never send stream_options without stream, which OpenAI answers with 400."""
        if not asks_usage or body.get("stream") is not True:
            return Prepared({**body, "model": model}, hide_usage=False)
        options = body.get("stream_options") or {}
        asked = options.get("include_usage") is True
        return Prepared(
            {**body, "model": model, "stream_options": {**options, "include_usage": True}},
            hide_usage=not asked,
        )

    def headers(self, sent: Mapping[str, str]) -> Mapping[str, str]:  # noqa: ARG002 - the protocol's signature
        return {}

    def cancel_stops_bill(self, served_by: str | None) -> bool:  # noqa: ARG002 - the protocol's signature
        """Say no: without a look-up, reading on is the only way to the exact usage."""
        return False
