"""What only OpenRouter does: usage.cost in each answer, a look-up by generation id, attribution headers."""

from collections.abc import Mapping, Sequence
from json import loads
from typing import Any

from proxy.policy.pricing import PriceList
from proxy.providers.auth import Auth, default_headers, key_headers
from proxy.providers.billing_page import PAGES
from proxy.providers.dialect import AccountApi, PreparedBody
from proxy.providers.key import Key
from proxy.providers.openrouter_prices import parse_price_list
from proxy.wire.endpoint import Endpoint

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
    translator = None
    falls_back = True
    list_paths: tuple[str, ...] = ("/models", "/embeddings/models")  # embedding models stand on a list of their own
    lists_prices = True
    key_path: str | None = "/key"
    key_page: str | None = "https://openrouter.ai/keys"
    account_api: AccountApi | None = "openrouter"
    billing_page: str | None = PAGES["openrouter.ai"]

    def __init__(self, referer: str, title: str, auth: Auth = "bearer") -> None:
        self._referer = referer
        self._title = title
        self._auth: Auth = auth
        self.default_headers = default_headers(auth)

    def path(self, endpoint: Endpoint, model: str, *, streamed: bool) -> str:  # noqa: ARG002 - the protocol's signature
        return endpoint.path

    def auth_headers(self, key: Key) -> Mapping[str, str]:
        return key_headers(key, self._auth)

    def prepare(self, body: dict[str, Any], model: str, endpoint: Endpoint) -> PreparedBody:
        """Return the body, asking for the cost. OpenRouter always sends it today; older deployments need the switch."""
        prepared = body.copy()  # in half the time that {**body, …} takes
        prepared["model"] = model
        if endpoint.asks_usage:
            usage = body["usage"] if "usage" in body else None  # noqa: SIM401 - get() takes longer
            prepared["usage"] = {**usage, "include": True} if isinstance(usage, dict) else {"include": True}
        return prepared, False

    def headers(self, sent: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers that name this application, unless the client named its own."""
        added = {}
        if "http-referer" not in sent and self._referer:
            added["HTTP-Referer"] = self._referer
        if "x-title" not in sent and "x-openrouter-title" not in sent and self._title:
            added["X-OpenRouter-Title"] = self._title
        return added

    def read_prices(self, models: Sequence[Mapping[str, Any]]) -> PriceList:
        return parse_price_list(list(models))

    def describe_key(self, body: bytes) -> str:
        """Return what is left of a key's own limit; "" for an answer in an unknown shape."""
        try:
            left = loads(body)["data"].get("limit_remaining")
        except (ValueError, KeyError, TypeError, AttributeError):
            return ""
        return (
            f", ${left} left of its limit"
            if isinstance(left, int | float)
            else "; OpenRouter sets no spending limit on it"
        )

    def cancel_stops_bill(self, served_by: str | None) -> bool:
        return served_by is not None and served_by.casefold() in _CANCELLABLE
