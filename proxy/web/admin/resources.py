"""All resources of the operator's API."""

from proxy.web.admin import (
    alert_deliveries,
    alert_destinations,
    alert_rules,
    attempts,
    audit,
    configuration,
    connections,
    groups,
    keys,
    limits,
    master_key,
    models,
    operators,
    presets,
    providers,
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
        *audit.ROUTES,
        *requests.ROUTES,
        *attempts.ROUTES,
        *status.ROUTES,
        *connections.ROUTES,
        *reservations.ROUTES,
        *usage.ROUTES,
        *presets.ROUTES,
        *alert_rules.ROUTES,
        *alert_destinations.ROUTES,
        *alert_deliveries.ROUTES,
        *models.ROUTES,
        *providers.ROUTES,
        *configuration.ROUTES,
    )
)
