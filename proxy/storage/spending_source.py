"""Whose requests of which models a row of sums counts: what decides which limits it falls under."""

from typing import NamedTuple

from proxy.policy.quota import ModelAnswer, Quota, is_counted


class SpendingSource(NamedTuple):
    """What the key of the roll-up has beside the hour; '' where there is nothing.

    above: the groups above the request's own, the nearest first, with spaces between them. others: what besides
    provider and model may have been paid for, provider/model on a line each.
    """

    user: str
    group: str
    model: str
    provider: str
    use_case: str
    above: str
    others: str

    @property
    def answer(self) -> ModelAnswer:
        """Return what decides in which sets of models it counts."""
        return ModelAnswer(self.provider, self.model, self.others)

    def is_in(self, quota: Quota) -> bool:
        """Return whether a quota counts it."""
        kind, _, name = quota.scope.partition(":")
        if kind == "group":
            is_whose = name == self.group or name in self.above.split()
        else:
            is_whose = kind == "all" or name == (self.user if kind == "user" else self.use_case)
        return is_whose and (not quota.models or is_counted(quota.models, self.answer))
