"""The columns of requests that say whose spending a row is, in the order of SpendingSource."""

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
