"""The attempts of a request that another one followed, and what is left of its reservation."""

from typing import NamedTuple

from proxy.pipeline.settlement.end_rows import names_of
from proxy.pipeline.settlement.sum_attempts import SettledAttempt, rest
from proxy.pipeline.values.attempt import Attempt
from proxy.pipeline.values.finished import EarlierAttempt
from proxy.policy.quota import Amounts
from proxy.storage.rows import AttemptRow, Reserved


class EarlierAttempts(NamedTuple):
    """The attempts that are over, in order, each with its share of what the request holds; model and provider: last."""

    held: Reserved
    parts: tuple[SettledAttempt, ...] = ()
    model: str | None = None
    provider: str | None = None
    rows: tuple[AttemptRow, ...] = ()  # of the attempts from the second on, the one under way included
    names: tuple[str, ...] = ()  # provider/model of what may have been paid for

    def left(self) -> Reserved:
        return rest(self.held, (part.end for part in self.parts))

    def with_part(self, part: SettledAttempt, attempt: Attempt) -> "EarlierAttempts":
        names = self.names if part.settlement.state == "released" else (*self.names, *names_of(attempt))
        parts = (*self.parts, part)
        return EarlierAttempts(self.held, parts, attempt.target.model, attempt.provider.name, self.rows, names)

    def ended(self) -> tuple[EarlierAttempt, ...]:
        """Return the attempts that are over, each with its row; the first one has none of its own."""
        return tuple(EarlierAttempt(row, part.end) for row, part in zip((None, *self.rows), self.parts, strict=False))

    def extended(self, more: Amounts) -> "EarlierAttempts":
        cost_pusd, tokens = self.held
        held = Reserved(
            None if cost_pusd is None else cost_pusd + more.cost_pusd, None if tokens is None else tokens + more.tokens
        )
        return self._replace(held=held)
