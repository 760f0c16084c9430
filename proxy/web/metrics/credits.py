"""What is left of the accounts at providers, as they told it last; asked for again without waiting for the answer."""

from collections.abc import Mapping

from msgspec import Struct

from proxy.pipeline.services import Services


class CreditFigures(Struct, frozen=True):
    """left: by provider what is left in pico-USD, and when it was told (epoch ms). is_ok None: nobody can be asked."""

    left: Mapping[str, tuple[int, int]]
    is_ok: bool | None


async def take_credits(services: Services) -> CreditFigures:
    """Return what is known now. A provider with a management key is asked once a minute at most, while this is."""
    left: dict[str, tuple[int, int]] = {}
    problems: list[bool] = []
    providers = services.live.current.providers.values()
    services.accounts.keep_only(providers)
    for provider in providers:
        if provider.management_key is None or (provider.rules is not None and provider.rules.off is not None):
            continue
        heard = await services.accounts.credits(provider, 0.0)
        if heard is None:
            continue
        problems.append(heard.problem is not None)
        if heard.value is not None and heard.heard_ms is not None:
            left[provider.name] = heard.value.left_pusd, heard.heard_ms
    return CreditFigures(left, not any(problems) if problems else None)
