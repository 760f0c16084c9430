"""Time and ids of one simulator: live, or frozen so that equal requests get equal bytes."""

import secrets

from proxy.core.clock import Clock
from proxy.simulator import text


class Ids:
    """Hands out the time, sequence numbers and the ids that follow from seed and sequence number."""

    def __init__(self, clock: Clock, seed: int | None) -> None:
        self._clock = clock
        self._shift_s = 0
        self._frozen: int | None = None
        self._sequence = 0
        self.seed = secrets.randbits(63) if seed is None else seed

    def reset(self, seed: int | None, created: int | None) -> None:
        """Start over; created (unix seconds) freezes the time, None lets it run."""
        self.seed = self.seed if seed is None else seed
        self._frozen = created
        self._shift_s = 0
        self._sequence = 0

    def advance(self, seconds: int) -> None:
        """Move the time forward, frozen or not."""
        if self._frozen is not None:
            self._frozen += seconds
        else:
            self._shift_s += seconds

    def now(self) -> int:
        """Return Unix seconds."""
        return self._frozen if self._frozen is not None else self._clock.now_ms() // 1000 + self._shift_s

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()

    def next(self) -> int:
        self._sequence += 1
        return self._sequence

    def word(self, purpose: str, sequence: int, length: int) -> str:
        """Return letters and digits derived from seed, purpose and sequence."""
        return text.alphanumerics(text.number(self.seed, purpose, sequence), length)

    def openai_id(self, prefix: str, sequence: int) -> str:
        return f"{prefix}-{self.word('gen', sequence, 21)}"

    def generation_id(self, created: int, sequence: int) -> str:
        return f"gen-{created}-{self.word('gen', sequence, 20)}"
