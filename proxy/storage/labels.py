"""What reports show amounts and days with; it stands in the ledger, so that a copy can be read without settings."""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from proxy.config.schema import Settings
from proxy.policy.exchange_rates import RateStep, dated_steps
from proxy.wire.ecb_rates import EcbRatesError, read_usd_rates

_FILE_MAX_BYTES = 32 * 2**20  # the whole history since 1999 is 3 MB


class Labels(NamedTuple):
    """usd_rate: what 1 USD costs in the currency, as decimal text; dated: rates by time in place of it.

    dated is empty where none is known yet; what is held of the currency stays then. problem: why none was found.
    """

    timezone: str
    currency_code: str
    usd_rate: str
    dated: tuple[RateStep, ...] | None = None
    problem: str | None = None

    def steps(self) -> tuple[RateStep, ...]:
        """Return what the settings say, from the time on that they say it of."""
        return (RateStep(0, self.usd_rate),) if self.dated is None else self.dated


def labels_of(settings: Settings) -> Labels:
    """Return what these settings say. Reads the file of rates, if they name one."""
    currency, zone = settings.currency, settings.timezone
    labels = Labels(zone, currency.code, str(currency.usd_rate))
    if currency.rates:
        return labels._replace(dated=dated_steps(currency.rates, ZoneInfo(zone)))
    if currency.ecb_file is None:
        return labels
    try:
        published = read_ecb_file(currency.ecb_file, currency.code)
    except EcbRatesError as error:
        return labels._replace(dated=(), problem=str(error))
    # a rate is published in the afternoon; from the next day on all of a day has the same
    held_from = {day + timedelta(days=1): rate for day, rate in published.items() if day < date.max}
    return labels._replace(dated=dated_steps(held_from, ZoneInfo(zone)))


def read_ecb_file(path: Path, code: str) -> Mapping[date, Decimal]:
    """Return what 1 USD cost on each day of a file of the ECB; raises EcbRatesError, with the file's name."""
    try:
        with path.open("rb") as file:
            text = file.read(_FILE_MAX_BYTES).decode()  # a rest beyond it is older than anybody's ledger
        return read_usd_rates(text, code)
    except OSError as error:
        raise EcbRatesError(f"{path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise EcbRatesError(f"{path}: it is not text.") from None
    except EcbRatesError as error:
        raise EcbRatesError(f"{path}: {error}.") from None
