"""All resources of the operator's API."""

from proxy.web.admin import attempts, groups, limits, operators, requests, status, stops, tokens, users
from proxy.web.admin.resource_table import ResourceTable

TABLE = ResourceTable(
    (
        *users.ROUTES,
        *tokens.ROUTES,
        *groups.ROUTES,
        *limits.ROUTES,
        *operators.ROUTES,
        *stops.ROUTES,
        *requests.ROUTES,
        *attempts.ROUTES,
        *status.ROUTES,
    )
)
