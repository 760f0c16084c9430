"""Settings of a provider -> its row, with the connections of the old row kept where the address is the same."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from msgspec.structs import replace

from proxy.config.key_overlay import MAIN
from proxy.config.provider import PriceSettings, Provider, ProviderKey, Timeouts, apiece_pusd, per_token_ausd
from proxy.config.schema import Settings
from proxy.core.errors import ConfigError
from proxy.core.glob import fits
from proxy.policy.backoff import RetryRules
from proxy.policy.breaker import BreakerRules
from proxy.policy.key_ring import KeyFacts
from proxy.policy.model_rules import ModelRule, ModelRules
from proxy.policy.parameter_form import form_of, has_known
from proxy.policy.pricing import Price
from proxy.policy.quota import Quota
from proxy.providers.deadlines import Deadlines
from proxy.providers.key import MANAGEMENT, NO_KEY, Key, key_scope
from proxy.providers.kinds import DIALECTS, Dialects, dialect_of
from proxy.providers.provider import ProviderRow
from proxy.providers.transport.base import Transport
from proxy.providers.transport.network import DIRECT, Network, ProxyServer


def build_providers(
    settings: Settings, old: Mapping[str, ProviderRow], dialects: Dialects = DIALECTS
) -> dict[str, ProviderRow]:
    """Return a row for each provider, in the order of the configuration."""
    rules = model_rules(settings)
    return {
        name: _build(name, provider, old.get(name), dialects, rules.get(name))
        for name, provider in settings.providers.items()
    }


def model_rules(settings: Settings) -> dict[str, ModelRules]:
    """Return what is said of the models of each provider; providers of which nothing is said are left out."""
    said = [
        ModelRule(name, one.enabled, None if one.price is None else own_price(one.price), one.request_pusd)
        for name, one in settings.models.items()
    ]
    first = next(iter(settings.providers), None)
    return {
        name: ModelRules(
            name, said, is_first=name == first, off=None if provider.enabled else f"providers.{name}.enabled"
        )
        for name, provider in settings.providers.items()
        if said or not provider.enabled
    }


def _build(
    name: str, provider: Provider, old: ProviderRow | None, dialects: Dialects, rules: ModelRules | None
) -> ProviderRow:
    base_url = str(provider.base_url).rstrip("/")
    network = _network(name, provider)
    is_kept = old is not None and old.base_url == base_url and old.network == network
    transport = old.transport if old is not None and is_kept else make_transport(base_url, network)
    host = (urlsplit(base_url).hostname or "").lower()
    return ProviderRow(
        name=name,
        kind=provider.kind,
        base_url=base_url,
        keys=_keys(name, provider),
        deadlines=_deadlines(provider),
        on_disconnect=provider.on_disconnect,
        extra_headers={name: value.reveal() for name, value in provider.headers.items()},
        own_prices=tuple((pattern, own_price(price)) for pattern, price in provider.prices.items()),
        dialect=dialect_of(provider, dialects),
        transport=transport,
        retry=RetryRules(
            attempts=provider.retry.attempts,
            backoff_s=float(provider.retry.backoff_s),
            backoff_max_s=float(provider.retry.backoff_max_s),
            budget_percent=float(provider.retry.budget_percent),
        ),
        breaker=_breaker(provider),
        max_concurrency=provider.max_concurrency,
        queue_timeout_s=float(provider.queue_timeout_s),
        queue_max=provider.queue_max,
        models_refresh_s=float(provider.models_refresh_s),
        network=network,
        model_deadlines=tuple(
            (pattern, _overlaid(_deadlines(provider), own)) for pattern, own in provider.timeouts.items()
        ),
        parameters=tuple((pattern, form_of(words)) for pattern, words in provider.parameters.items()),
        host=host,
        has_forms=bool(provider.parameters) or has_known(host),
        management_key=Key(MANAGEMENT, provider.management_key) if provider.management_key else None,
        rules=rules,
    )


def deadlines_of(provider: Provider, model: str, *overrides: Timeouts) -> Deadlines | None:
    """Return the time-outs of a model, overridden by further ones in order; None: they change nothing."""
    if all(value is None for override in overrides for value in _own(override).values()):
        return None
    deadlines = _deadlines(provider)
    for pattern, own in provider.timeouts.items():
        if fits(model, pattern):
            deadlines = _overlaid(deadlines, own)
            break
    for override in overrides:
        deadlines = _overlaid(deadlines, override)
    return deadlines


def _deadlines(provider: Provider) -> Deadlines:
    return Deadlines(
        connect_s=float(provider.connect_timeout_s),
        header_s=float(provider.header_timeout_s),
        idle_s=float(provider.idle_timeout_s),
        total_s=float(provider.total_timeout_s),
        first_token_s=float(provider.first_token_timeout_s),
    )


def _own(override: Timeouts) -> dict[str, float | None]:
    return {
        "connect_s": override.connect_timeout_s,
        "header_s": override.header_timeout_s,
        "first_token_s": override.first_token_timeout_s,
        "idle_s": override.idle_timeout_s,
        "total_s": override.total_timeout_s,
    }


def _overlaid(deadlines: Deadlines, override: Timeouts) -> Deadlines:
    return replace(deadlines, **{name: float(value) for name, value in _own(override).items() if value is not None})


def _breaker(provider: Provider) -> BreakerRules:
    rules = provider.breaker
    return BreakerRules(
        failures=rules.failures,
        error_rate_percent=float(rules.error_rate_percent),
        min_attempts=rules.min_attempts,
        window_s=float(rules.window_s),
        cooldown_s=float(rules.cooldown_s),
        cooldown_max_s=float(rules.cooldown_max_s),
        probes=rules.probes,
    )


def _keys(name: str, provider: Provider) -> tuple[Key, ...]:
    """Return the keys, the first of which is also for calls of our own; that of api_key is called main."""
    main = () if provider.api_key is None else (Key(KeyFacts(MAIN), provider.api_key),)
    return (*main, *(_key(name, key) for key in provider.keys)) or (NO_KEY,)


def _key(provider: str, key: ProviderKey) -> Key:
    bounds = [
        None if moment is None else int(moment.timestamp() * 1000) for moment in (key.valid_from, key.valid_until)
    ]
    scope = key_scope(provider, key.name)
    quotas = tuple(Quota(scope, limit.kind, limit.amount, limit.window) for limit in key.limits.all)
    return Key(KeyFacts(key.name, key.priority, key.weight, bounds[0], bounds[1]), key.api_key, quotas)


def _network(name: str, provider: Provider) -> Network:
    """Return the way to a provider; raises ConfigError for a file of authorities that cannot be used."""
    named = None if provider.proxy is None else provider.proxy.reveal()
    return Network(
        None if named is None or named == "none" else ProxyServer.read(named),
        None if provider.ca_file is None else _authorities(name, provider.ca_file),
    )


def _authorities(name: str, path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="ignore")
    except OSError as error:
        raise ConfigError(f"providers.{name}.ca_file: {path} cannot be read: {error.strerror}.") from None


def make_transport(base_url: str, network: Network = DIRECT) -> Transport:
    """Return the fast transport, or the reference one if httptools is not installed, as on Windows."""
    try:
        from proxy.providers.transport.pool.pool import PooledTransport  # noqa: PLC0415 - it may be missing
    except ModuleNotFoundError as error:
        if error.name != "httptools":
            raise
        from proxy.providers.transport.aiohttp_transport import AiohttpTransport  # noqa: PLC0415 - 13 MB and 0.1 s

        return AiohttpTransport(base_url, network)
    return PooledTransport(base_url, network)


def own_price(price: PriceSettings) -> Price:
    """Return the operator's price in the unit of price lists."""
    return Price(
        input_ausd=price.input_ausd,
        output_ausd=price.output_ausd,
        cached_ausd=per_token_ausd(price.cached_input),
        cache_write_ausd=per_token_ausd(price.cache_write),
        cache_write_1h_ausd=per_token_ausd(price.cache_write_1h),
        reasoning_ausd=per_token_ausd(price.reasoning),
        image_token_ausd=per_token_ausd(price.image_input),
        image_output_ausd=per_token_ausd(price.image_output),
        audio_ausd=per_token_ausd(price.audio_input),
        audio_cached_ausd=per_token_ausd(price.cached_audio),
        audio_output_ausd=per_token_ausd(price.audio_output),
        request_pusd=price.request_pusd,
        image_pusd=apiece_pusd(price.image),
        web_search_pusd=apiece_pusd(price.web_search),
        source="config",
    )
