"""Ask a provider whether a key may read its account, before anything rests on it."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from proxy.core.clock import Clock
from proxy.core.secret import Secret
from proxy.providers.account.source import AccountError
from proxy.providers.account.sources import account_source
from proxy.providers.key import MANAGEMENT, Key
from proxy.providers.key_check import KeyCheck
from proxy.providers.provider import ProviderRow


async def check_management_key(provider: ProviderRow, secret: Secret, clock: Clock) -> KeyCheck:
    """Return what a provider says of a management key: of itself where it may ask, else what a day was charged."""
    source = account_source(replace(provider, management_key=Key(MANAGEMENT, secret)), clock)
    if source is None:
        return KeyCheck(
            False, None, f"{provider.name} tells nothing of its account, so that the key is of no use there"
        )
    try:
        if "key" in source.questions:
            if not (await source.key(secret)).is_management:
                return KeyCheck(False, 200, f"{provider.name} says that this is an ordinary key, not a management key")
        else:
            await source.activity(datetime.fromtimestamp(clock.now_ms() / 1000, UTC).date() - timedelta(days=1))
    except AccountError as error:
        is_accepted = False if error.kind == "refused" else None
        return KeyCheck(is_accepted, error.status, str(error).rstrip("."))
    return KeyCheck(True, 200, f"{provider.name} accepts the key for its account")
