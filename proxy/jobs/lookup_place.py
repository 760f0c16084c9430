"""Where to ask what an attempt cost: the provider that it went to, and the keys that may know it."""

from collections.abc import Sequence

from msgspec import Struct

from proxy.pipeline.snapshot import Snapshot
from proxy.providers.generation import GenerationAccess
from proxy.providers.key import OWN


class LookupPlace(Struct, frozen=True):
    """Where to ask for an attempt, in order. is_its_own: with the key it was sent with, which alone can deny it."""

    accesses: Sequence[GenerationAccess]
    is_its_own: bool

    def request_pusd(self, model: str) -> int:
        """Return what each request that a model answers there costs on top."""
        rules = self.accesses[0].provider.rules
        return 0 if rules is None else rules.request_pusd(model)


def place_by_name(snapshot: Snapshot, provider_name: str, key: str | None, user: str, group: str | None) -> LookupPlace:
    """Return where to ask by what a row says: the key by its name, a user's own by the user.

    Only that account knows it; where that key is gone every other is tried, for it may have another name by now.
    """
    provider = snapshot.providers.get(provider_name)
    if provider is None or not provider.dialect.has_generations:
        return LookupPlace((), is_its_own=False)
    if key == OWN:
        own = snapshot.directory.own_keys(user, group).get(provider.name)
        own = None if own is None or own.problem is not None else own
        keys = provider.keys if own is None else (own,)
        return LookupPlace([GenerationAccess(provider, each) for each in keys], is_its_own=own is not None)
    named = [each for each in provider.keys if each.name == key]
    return LookupPlace([GenerationAccess(provider, each) for each in named or provider.keys], is_its_own=bool(named))
