"""A provider's key: the name that lists and the ledger show, and the secret that they never do."""

from dataclasses import dataclass, field

from proxy.core.secret import Secret
from proxy.policy.keyring import KeyFacts
from proxy.policy.quota import Quota


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a provider. secret None: the provider asks for none."""

    facts: KeyFacts
    secret: Secret | None
    quotas: tuple[Quota, ...] = ()  # limits of its own
    name: str = field(init=False, compare=False)  # that of its facts

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.facts.name)

    def headers(self) -> dict[str, str]:
        return {} if self.secret is None else {"Authorization": f"Bearer {self.secret.reveal()}"}


NO_KEY = Key(KeyFacts("none"), None)

OWN = "own"
"""What the ledger calls a key that the user brought."""
