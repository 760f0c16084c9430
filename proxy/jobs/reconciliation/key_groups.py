"""The keys whose counts can be asked for: one for each secret, whatever names it has in the configuration."""

from collections.abc import Iterable

from msgspec import Struct

from proxy.pipeline.services import Services
from proxy.providers.account.source import AccountQuestion
from proxy.providers.key import Key
from proxy.providers.provider import ProviderRow


class KeyGroup(Struct, frozen=True):
    """One key. row, key: the first place that has it; names: all of them, as "provider/key"; hash: of the key.

    problem: why it is not asked for; None: it is. has_bill: a management key reads the bill of one of the places.
    """

    row: ProviderRow
    key: Key
    names: tuple[str, ...]
    hash: str
    problem: str | None
    has_bill: bool


def key_groups(services: Services, provider: str | None = None) -> list[KeyGroup]:
    """Return the keys of providers that tell what a key has counted, in the order of the configuration.

    provider: only keys that it has, each by its first name there.
    """
    places = _places(services.live.current.providers.values())
    names: dict[str, list[str]] = {}
    billed: set[str] = set()
    for row, key, hash_ in places:
        names.setdefault(hash_, []).append(f"{row.name}/{key.name}")
        if "activity" in questions(services, row):
            billed.add(hash_)
    found: dict[str, KeyGroup] = {}
    for row, key, hash_ in places:
        known = found.get(hash_)
        if "key" not in questions(services, row) or provider not in (None, row.name):
            continue
        if known is None or (known.problem is not None and not is_off(row)):
            problem = f"The provider {row.name} is disabled, so it is not asked." if is_off(row) else None
            found[hash_] = KeyGroup(row, key, tuple(names[hash_]), hash_, problem, hash_ in billed)
    return [*found.values()]


def questions(services: Services, row: ProviderRow) -> frozenset[AccountQuestion]:
    """Return what can be asked of a provider's account with the keys that there are."""
    source = services.accounts.source(row)
    return frozenset() if source is None else source.questions


def is_off(row: ProviderRow) -> bool:
    """Return whether a provider is disabled, so that it is asked nothing."""
    return row.rules is not None and row.rules.off is not None


def _places(rows: Iterable[ProviderRow]) -> list[tuple[ProviderRow, Key, str]]:
    return [(row, key, key.hash) for row in rows for key in row.keys if key.hash is not None]
