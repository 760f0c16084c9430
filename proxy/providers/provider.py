"""A provider is a row of data; what only one of them does differently stands in a file of its own.

No other part asks which provider it talks to: it reads these fields.
"""

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from proxy.policy.backoff import RetryRules
from proxy.policy.breaker import BreakerRules
from proxy.policy.parameter_form import ParameterForm
from proxy.policy.pricing import Price
from proxy.providers.deadlines import Deadlines
from proxy.providers.key import Auth, Key
from proxy.providers.transport.base import Transport
from proxy.providers.transport.network import DIRECT, Network

_ANTHROPIC_DEFAULTS: Mapping[str, str] = MappingProxyType({"anthropic-version": "2023-06-01"})  # the only one there is
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class PreparedBody(NamedTuple):
    """A body as one provider wants it. hide_usage: only we asked for the usage; it is taken out on the way down."""

    body: dict[str, Any]
    hide_usage: bool


class Dialect(Protocol):
    """What differs between kinds of providers."""

    reports_cost: bool  # the cost in its answers is what is charged
    takes_cost: bool  # such a cost counts where no price is known
    cost_paths: tuple[tuple[str, ...], ...]  # where it stands, the first that is there; empty: usage.cost
    cost_header: str | None  # of an answer in one piece
    has_generations: bool  # an answer can be looked up by its id afterwards
    lists_prices: bool  # its list of models tells what they cost

    def prepare(self, body: dict[str, Any], model: str, *, asks_usage: bool = True) -> PreparedBody:
        """Return the body with the model, asking for usage if the endpoint has a way to ask."""
        ...

    def headers(self, sent: Mapping[str, str]) -> Mapping[str, str]:
        """Return headers to add to those that the client sent (names in lower case)."""
        ...

    def cancel_stops_bill(self, served_by: str | None) -> bool:
        """Return whether closing a stream stops the bill; served_by is the provider behind the provider."""
        ...


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """One configured provider with its keys and its connections."""

    name: str
    kind: str
    base_url: str
    keys: tuple[Key, ...]  # at least one
    deadlines: Deadlines
    on_disconnect: str  # auto | drain | abort
    extra_headers: Mapping[str, str]
    own_prices: tuple[tuple[str, Price], ...]  # (glob of model names, price), the first match wins
    dialect: Dialect
    transport: Transport
    retry: RetryRules
    breaker: BreakerRules
    max_concurrency: int | None = None
    queue_timeout_s: float = 10.0
    queue_max: int = 100
    network: Network = DIRECT
    auth: Auth = "bearer"
    model_deadlines: tuple[tuple[str, Deadlines], ...] = ()  # (glob of model names, deadlines), the first match wins
    parameters: tuple[
        tuple[str, ParameterForm], ...
    ] = ()  # (glob of model names, what they accept), the first match wins
    host: str = ""
    has_forms: bool = False  # something is known of the host, or configured, about what it takes

    def url(self, path: str) -> str:
        return self.base_url + path

    def auth_headers(self) -> dict[str, str]:
        """Return the headers for calls of our own, which use the first key."""
        return {**self.default_headers, **self.keys[0].headers(self.auth)}

    @property
    def default_headers(self) -> Mapping[str, str]:
        """Return what a request needs where the client did not send it."""
        return _ANTHROPIC_DEFAULTS if self.auth == "x-api-key" else _NO_HEADERS

    def deadlines_for(self, model: str) -> Deadlines:
        for pattern, deadlines in self.model_deadlines:
            if fnmatch.fnmatchcase(model, pattern):
                return deadlines
        return self.deadlines
