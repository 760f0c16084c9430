"""Who asks."""

from collections.abc import Mapping

from msgspec import Struct, field

from proxy.pipeline.values.allowance import Allowance
from proxy.providers.key import Key


class Identity(Struct, frozen=True):
    """Who asks, by which token, and what that user may use; own_keys are keys of the user's own, by provider.

    is_new: an end user whom the token named for the first time; provision() makes them before anything is booked.
    """

    user: str
    group: str | None
    token_id: str
    allowance: Allowance
    own_keys: Mapping[str, Key] = field(default_factory=dict)
    is_new: bool = False
