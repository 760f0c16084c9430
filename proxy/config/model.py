"""Settings of models by name: whether they may be asked, and what they cost."""

from decimal import Decimal

from proxy.config.block import Block, check_field, setting
from proxy.config.diagnostic import SettingError
from proxy.config.provider import PriceSettings
from proxy.config.values import Flag, Usd

_PUSD_PER_USD = 10**12


class ModelSettings(Block):
    """What the operator says of the models that a name fits."""

    enabled: Flag = setting(
        True,
        "false: nobody may ask for it. Where several names fit a model, one that says false is enough.",
        "What a provider offers may be used.",
    )
    price: PriceSettings | None = setting(
        None, "Its price, in place of the provider's own.", "providers.<name>.prices, else what the provider lists."
    )
    request_price: Usd | None = setting(
        None,
        "USD for each request that it answers, on top of what the provider charges.",
        "None: what is booked is what the provider charges.",
        ge=0,
        le=10**6,
    )

    @check_field("request_price")
    @classmethod
    def _exact(cls, value: Decimal | None) -> Decimal | None:
        if value is not None and value * _PUSD_PER_USD % 1:
            raise SettingError("must have at most twelve decimals")
        return value

    @property
    def request_pusd(self) -> int | None:
        """Return the price of a request in pico-USD (1e-12 USD)."""
        return None if self.request_price is None else int(self.request_price * _PUSD_PER_USD)
