"""A provider is a row of data; how it speaks is its dialect (dialect.py)."""

from collections.abc import Mapping

from msgspec import Struct

from proxy.core.glob import fits
from proxy.policy.backoff import RetryRules
from proxy.policy.breaker import BreakerRules
from proxy.policy.model_rules import ModelRules
from proxy.policy.parameter_form import ParameterForm
from proxy.policy.pricing import Price
from proxy.providers.deadlines import Deadlines
from proxy.providers.dialect import Dialect
from proxy.providers.key import Key
from proxy.providers.transport.base import Transport
from proxy.providers.transport.network import DIRECT, Network


class ProviderRow(Struct, frozen=True, eq=False):
    """One configured provider with its keys and its connections; equal to itself alone."""

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
    models_refresh_s: float = 600.0
    network: Network = DIRECT
    model_deadlines: tuple[tuple[str, Deadlines], ...] = ()  # (glob of model names, deadlines), the first match wins
    parameters: tuple[
        tuple[str, ParameterForm], ...
    ] = ()  # (glob of model names, what they accept), the first match wins
    host: str = ""
    management_key: Key | None = None  # of the account, for what no other key may ask; never for inference
    rules: ModelRules | None = None  # what the operator says of its models; None: nothing
    has_forms: bool = False  # something is known of the host, or configured, about what it takes

    def url(self, path: str) -> str:
        return self.base_url + path

    def auth_headers(self) -> dict[str, str]:
        """Return the headers for calls of our own, which go out with the first key."""
        return {**self.dialect.default_headers, **self.dialect.auth_headers(self.keys[0])}

    def deadlines_for(self, model: str) -> Deadlines:
        for pattern, deadlines in self.model_deadlines:
            if fits(model, pattern):
                return deadlines
        return self.deadlines
