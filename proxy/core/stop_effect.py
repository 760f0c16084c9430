"""What becomes of requests that a stop concerns."""

from typing import Final, Literal, NamedTuple, get_args

EffectName = Literal["stop", "slow", "downgrade"]
EFFECTS: Final[tuple[EffectName, ...]] = get_args(EffectName)


class StopEffect(NamedTuple):
    """stop: they are refused. slow: each waits for its turn. downgrade: they go by a preset instead.

    preset: of downgrade. a_minute: how many requests slow lets in a minute.
    """

    name: EffectName = "stop"
    preset: str = ""
    a_minute: int = 0

    @property
    def text(self) -> str:
        """Return it as a rule's action is written: stop, downgrade: cheap, slow: 6/minute."""
        if self.name == "downgrade":
            return f"downgrade: {self.preset}"
        return f"slow: {self.a_minute}/minute" if self.name == "slow" else "stop"


STOP: Final = StopEffect()
