"""What only OpenRouter does: usage.cost in each answer, a look-up by generation id, attribution headers."""

from collections.abc import Mapping
from typing import Any

from proxy.providers.provider import PreparedBody

# Providers whose generation, and bill, ends when a stream is closed: OpenRouter's documentation, streaming page, 2026.
_CANCELLABLE = frozenset(
    name.casefold()
    for name in [
        "OpenAI",
        "Azure",
        "Anthropic",
        "Fireworks",
        "Mancer",
        "Recursal",
        "AnyScale",
        "Lepton",
        "OctoAI",
        "Novita",
        "DeepInfra",
        "Together",
        "Cohere",
        "Hyperbolic",
        "Infermatic",
        "Avian",
        "xAI",
        "Cloudflare",
        "SFCompute",
        "Nineteen",
        "Liquid",
        "Friendli",
        "Chutes",
        "DeepSeek",
    ]
)


class OpenRouterDialect:
    reports_cost = True
    takes_cost = True
    cost_paths: tuple[tuple[str, ...], ...] = ()
    cost_header: str | None = None
    has_generations = True
    lists_prices = True

    def __init__(self, referer: str, title: str) -> None:
        self._referer = referer
        self._title = title

    def prepare(self, body: dict[str, Any], model: str, *, asks_usage: bool = True) -> PreparedBody:
        """Return the body, asking for the cost. OpenRouter always sends it today; older deployments need the switch."""
        prepared = {**body, "model": model}
        if asks_usage:
            usage = body.get("usage")
            prepared["usage"] = {**usage, "include": True} if isinstance(usage, dict) else {"include": True}
        return tuple.__new__(PreparedBody, (prepared, False))  # what Prepared(…) comes to, without the call between

    def headers(self, sent: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers that name this application, unless the client named its own."""
        added = {}
        if "http-referer" not in sent and self._referer:
            added["HTTP-Referer"] = self._referer
        if "x-title" not in sent and "x-openrouter-title" not in sent and self._title:
            added["X-OpenRouter-Title"] = self._title
        return added

    def cancel_stops_bill(self, served_by: str | None) -> bool:
        return served_by is not None and served_by.casefold() in _CANCELLABLE
