"""Which source tells of the account at a provider, if any."""

from proxy.core.clock import Clock
from proxy.providers.account.ask import Hear
from proxy.providers.account.openrouter import OpenRouterAccount
from proxy.providers.account.organization import OrganizationAccount
from proxy.providers.account.source import AccountSource
from proxy.providers.provider import ProviderRow


def account_source(provider: ProviderRow, clock: Clock, hear: Hear | None = None) -> AccountSource | None:
    """Return the source of a provider; None where nothing can be asked of its account. hear gets its answers.

    A server that speaks as OpenAI or Anthropic does has a bill to be read only if an administrator's key is set for it.
    """
    if provider.dialect.account_api == "openrouter":
        return OpenRouterAccount(provider, clock, hear)
    if provider.dialect.account_api is not None and provider.management_key is not None:
        return OrganizationAccount(provider, clock, hear)
    return None
