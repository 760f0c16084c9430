"""Whose requests of which models a row counts: what decides which limits it falls under."""

from typing import NamedTuple

from proxy.policy.quota import ModelAnswer, Quota, is_counted

ENDED_SOURCE = (
    "user, ifnull(group_name, ''), ifnull(model, ''), ifnull(provider, ''), ifnull(use_case, ''),"
    " ifnull(groups_above, ''), ifnull(other_models, '')"
)
# of a request that has not ended: whatever an attempt asked may have to be paid for
HELD_SOURCE = (
    "user, ifnull(group_name, ''), ifnull(target_model, ''), ifnull(target_provider, ''), ifnull(use_case, ''),"
    " ifnull(groups_above, ''), ifnull((SELECT group_concat(provider || '/' || model, char(10)) FROM attempt_rows"
    " WHERE request_id = requests.id), '')"
)


class SpendingSource(NamedTuple):
    """What the key of the roll-up has beside the hour; in the order of ENDED_SOURCE and HELD_SOURCE."""

    user: str
    group: str
    model: str
    provider: str
    use_case: str
    above: str
    others: str

    def is_in(self, quota: Quota) -> bool:
        """Return whether a quota counts it."""
        kind, _, name = quota.scope.partition(":")
        if kind == "group":
            is_whose = name == self.group or name in self.above.split()
        else:
            is_whose = kind == "all" or name == (self.user if kind == "user" else self.use_case)
        answer = ModelAnswer(self.provider, self.model, self.others)
        return is_whose and (not quota.models or is_counted(quota.models, answer))
