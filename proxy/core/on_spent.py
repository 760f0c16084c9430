"""What follows when a limit has no room for a request."""

from typing import Literal

from msgspec import Struct


class OnSpent(Struct, frozen=True):
    """refuse: the request is refused. downgrade: it goes by a preset instead. slow: it waits for its turn.

    preset: of downgrade. a_minute: how many requests slow lets in a minute.
    """

    action: Literal["refuse", "downgrade", "slow"] = "refuse"
    preset: str = ""
    a_minute: int = 0

    @property
    def text(self) -> str:
        """Return it as the settings write it: refuse, downgrade: cheap, slow: 6/minute."""
        if self.action == "downgrade":
            return f"downgrade: {self.preset}"
        return f"slow: {self.a_minute}/minute" if self.action == "slow" else "refuse"


REFUSE = OnSpent()
