"""Keys that users and groups brought for themselves: of the configuration, and of the database."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from proxy.config.schema import Settings
from proxy.policy.key_ring import KeyFacts
from proxy.providers.key import OWN, Key

_NONE: Mapping[str, Key] = MappingProxyType({})


class OwnKeys:
    """Own keys by user, by group and provider; a user's goes before that of the group, the file's before a stored one.

    One that is disabled or does not open stays in its place: requests that it is for are refused, and never made with
    a key that somebody else pays for.
    """

    def __init__(self, settings: Settings, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        """Keep the keys; rows: those of storage/provider_keys.py, each with its secret."""
        self._of_users: dict[str, dict[str, Key]] = {}
        self._of_groups: dict[str, dict[str, Key]] = {}
        for row in rows:
            for owners, owner in ((self._of_users, row["user"]), (self._of_groups, row["group"])):
                if owner is not None:
                    owners.setdefault(owner, {})[row["provider"]] = _stored(row)
        for name, user in settings.users.items():
            for provider, secret in user.provider_keys.items():
                self._of_users.setdefault(name, {})[provider] = Key(KeyFacts(OWN), secret)

    def of(self, user: str, group: str | None) -> Mapping[str, Key]:
        """Return the own keys of a user in a group, by provider."""
        own, shared = self._of_users.get(user, _NONE), self._of_groups.get(group or "", _NONE)
        return {**shared, **own} if own and shared else own or shared

    def all(self) -> Iterator[tuple[str, Key]]:
        """Yield every own key with the name of its provider."""
        for keys in (*self._of_users.values(), *self._of_groups.values()):
            yield from keys.items()


def _stored(row: Mapping[str, Any]) -> Key:
    problem = None if row["secret"] is not None else "cannot be opened"
    return Key(KeyFacts(OWN), row["secret"], problem="is disabled" if row["disabled"] else problem)
