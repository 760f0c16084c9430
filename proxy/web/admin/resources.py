"""All resources of the operator's API."""

from proxy.web.admin import groups, limits, operators, tokens, users
from proxy.web.admin.resource_table import ResourceTable

TABLE = ResourceTable(
    (
        *users.ROUTES,
        *tokens.ROUTES,
        *groups.ROUTES,
        *limits.ROUTES,
        *operators.ROUTES,
    )
)
