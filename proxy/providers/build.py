"""Settings of a provider -> its row, with the connections of the old row kept where the address is the same."""

from collections.abc import Mapping

from proxy.config.schema import Price as PriceSettings
from proxy.config.schema import Provider
from proxy.policy.backoff import RetryRules
from proxy.policy.breaker import BreakerRules
from proxy.policy.keyring import KeyFacts
from proxy.policy.pricing import Price
from proxy.providers.deadlines import Deadlines
from proxy.providers.openai import OpenAIDialect
from proxy.providers.openrouter import OpenRouterDialect
from proxy.providers.rows import NO_KEY, Dialect, Key, ProviderRow
from proxy.providers.transport import AiohttpTransport, Transport


def build_providers(providers: Mapping[str, Provider], old: Mapping[str, ProviderRow]) -> dict[str, ProviderRow]:
    """Give a row for each provider, in the order of the configuration."""
    return {name: _build(name, provider, old.get(name)) for name, provider in providers.items()}


def _build(name: str, provider: Provider, old: ProviderRow | None) -> ProviderRow:
    base_url = str(provider.base_url).rstrip("/")
    transport = old.transport if old is not None and old.base_url == base_url else make_transport(base_url)
    return ProviderRow(
        name=name,
        kind=provider.kind,
        base_url=base_url,
        keys=_keys(provider),
        deadlines=Deadlines(
            connect_s=float(provider.connect_timeout_s),
            header_s=float(provider.header_timeout_s),
            idle_s=float(provider.idle_timeout_s),
            total_s=float(provider.total_timeout_s),
        ),
        on_disconnect=provider.on_disconnect,
        extra_headers={name: value.reveal() for name, value in provider.headers.items()},
        own_prices=tuple((pattern, own_price(price)) for pattern, price in provider.prices.items()),
        dialect=_dialect(provider),
        transport=transport,
        retry=RetryRules(attempts=1, backoff_s=0.5, backoff_max_s=8.0, budget_percent=20.0),
        breaker=BreakerRules(
            failures=1_000_000,
            error_rate_percent=50,
            min_attempts=1_000_000,
            window_s=60,
            cooldown_s=15,
            cooldown_max_s=300,
            probes=1,
        ),
    )


def _keys(provider: Provider) -> tuple[Key, ...]:
    return (NO_KEY,) if provider.api_key is None else (Key(KeyFacts("main"), provider.api_key),)


def make_transport(base_url: str) -> Transport:
    """Give the fast transport, or the reference one where httptools is not installed, as on Windows."""
    try:
        from proxy.providers.pool import PooledTransport  # noqa: PLC0415 - it may be missing
    except ModuleNotFoundError as error:
        if error.name != "httptools":
            raise
        return AiohttpTransport(base_url)
    return PooledTransport(base_url)


def _dialect(provider: Provider) -> Dialect:
    if provider.kind == "openrouter":
        return OpenRouterDialect(provider.attribution.referer or "", provider.attribution.title or "")
    return OpenAIDialect()


def own_price(price: PriceSettings) -> Price:
    """Give the operator's price in the unit of price lists."""
    return Price(
        input_ausd=price.input_ausd,
        output_ausd=price.output_ausd,
        cached_ausd=None if price.cached_input is None else price.cached_input_ausd,
        cache_write_ausd=None if price.cache_write is None else price.cache_write_ausd,
        request_pusd=price.request_pusd,
        source="config",
    )
