"""All resources of the operator's API."""

from proxy.web.admin import (
    attempts,
    connections,
    groups,
    keys,
    limits,
    master_key,
    operators,
    presets,
    requests,
    reservations,
    status,
    stops,
    tokens,
    usage,
    users,
)
from proxy.web.admin.resource_table import ResourceTable

TABLE = ResourceTable(
    (
        *users.ROUTES,
        *keys.ROUTES,
        *master_key.ROUTES,
        *tokens.ROUTES,
        *groups.ROUTES,
        *limits.ROUTES,
        *operators.ROUTES,
        *stops.ROUTES,
        *requests.ROUTES,
        *attempts.ROUTES,
        *status.ROUTES,
        *connections.ROUTES,
        *reservations.ROUTES,
        *usage.ROUTES,
        *presets.ROUTES,
    )
)
