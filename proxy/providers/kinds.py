"""Which dialect a provider of each kind speaks."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from proxy.config.provider import NO_COST, Provider
from proxy.providers.auth import auth_of
from proxy.providers.dialect import Dialect
from proxy.providers.openai import OpenAIDialect
from proxy.providers.openrouter import OpenRouterDialect
from proxy.providers.resellers import told_cost_field

Dialects = Mapping[str, Callable[[Provider], Dialect]]
"""What makes the dialect of a provider from its settings, by kind."""


def _openrouter(provider: Provider) -> Dialect:
    attribution = provider.attribution
    auth = provider.auth or auth_of(str(provider.base_url))
    return OpenRouterDialect(attribution.referer or "", attribution.title or "", auth)


def _openai(provider: Provider) -> Dialect:
    base_url, field = str(provider.base_url), provider.cost_field
    auth = provider.auth or auth_of(base_url)
    if field is None:
        field = told_cost_field(base_url)
    return OpenAIDialect(auth=auth, takes_cost=False) if field == NO_COST else OpenAIDialect(field, auth=auth)


DIALECTS: Final[Dialects] = MappingProxyType({"openrouter": _openrouter, "openai": _openai})


def dialect_of(provider: Provider, dialects: Dialects = DIALECTS) -> Dialect:
    return dialects[provider.kind](provider)
