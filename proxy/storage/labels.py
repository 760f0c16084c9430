"""What reports show amounts and days with; it stands in the ledger, so that a copy can be read without settings."""

from typing import NamedTuple

from proxy.config.schema import Settings


class Labels(NamedTuple):
    """usd_rate: what 1 USD costs in the currency, as decimal text."""

    timezone: str
    currency_code: str
    usd_rate: str


def labels_of(settings: Settings) -> Labels:
    """Return what these settings say."""
    return Labels(str(settings.timezone), settings.currency.code, str(settings.currency.usd_rate))
