"""OpenAI and servers like it: usage in streams only when asked, nothing to look up; some report the cost."""

from collections.abc import Mapping, Sequence
from typing import Any

from proxy.policy.pricing import PriceList
from proxy.providers.auth import Auth, default_headers, key_headers
from proxy.providers.dialect import AccountApi, PreparedBody
from proxy.providers.key import Key
from proxy.wire.endpoint import Endpoint

_NO_PRICES = PriceList({})
_ACCOUNT_APIS: Mapping[Auth, AccountApi] = {"bearer": "openai", "x-api-key": "anthropic"}


def _paths(cost_field: str) -> tuple[tuple[str, ...], ...]:
    """Return the places of a field of the usage: in the response of a typed event it stands one level down."""
    path = tuple(cost_field.split("."))
    return (path, ("response", *path)) if path[0] == "usage" else (path,)


class OpenAIDialect:
    has_generations = False
    translator = None
    falls_back = False
    list_paths: tuple[str, ...] = ("/models",)
    lists_prices = False
    key_path: str | None = None
    key_page: str | None = None
    billing_page: str | None = None

    def __init__(self, cost_field: str | None = None, *, takes_cost: bool = True, auth: Auth = "bearer") -> None:
        """Set cost_field: a dotted path into the answer, or a header's name; None: no reliable cost is reported.

        takes_cost: a cost in ``usage.cost`` counts nevertheless where no price is known.
        """
        self.reports_cost = cost_field is not None
        self.takes_cost = takes_cost
        self.default_headers = default_headers(auth)
        self._auth: Auth = auth
        self.account_api: AccountApi | None = _ACCOUNT_APIS.get(auth)
        self.cost_header: str | None = None
        self.cost_paths: tuple[tuple[str, ...], ...] = ()
        if cost_field is not None and "." in cost_field:
            self.cost_paths = _paths(cost_field)
        elif cost_field is not None:  # a stream's head is sent before the cost is known: there the usage has it
            self.cost_header = cost_field.lower()
            self.cost_paths = (("usage", "cost"),)

    def path(self, endpoint: Endpoint, model: str, *, streamed: bool) -> str:  # noqa: ARG002 - the protocol's signature
        return endpoint.path

    def auth_headers(self, key: Key) -> Mapping[str, str]:
        return key_headers(key, self._auth)

    def prepare(self, body: dict[str, Any], model: str, endpoint: Endpoint) -> PreparedBody:
        """Return the body, asking for usage in streams; stream_options without stream gets 400 from OpenAI."""
        if not endpoint.asks_usage or body.get("stream") is not True:
            return {**body, "model": model}, False
        options = body.get("stream_options") or {}
        asked = options.get("include_usage") is True
        return {**body, "model": model, "stream_options": {**options, "include_usage": True}}, not asked

    def headers(self, sent: Mapping[str, str]) -> Mapping[str, str]:  # noqa: ARG002 - the protocol's signature
        return {}

    def read_prices(self, models: Sequence[Mapping[str, Any]]) -> PriceList:  # noqa: ARG002 - the protocol's signature
        """Return none: OpenAI and servers like it list no prices; theirs stand in the configuration."""
        return _NO_PRICES

    def describe_key(self, body: bytes) -> str:  # noqa: ARG002 - the protocol's signature
        return ""

    def cancel_stops_bill(self, served_by: str | None) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return False: without a look-up, reading on is the only way to the exact usage."""
        return False
