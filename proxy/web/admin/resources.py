"""All resources of the operator's API."""

from proxy.web.admin import tokens, users
from proxy.web.admin.resource_table import ResourceTable

TABLE = ResourceTable(
    (
        *users.ROUTES,
        *tokens.ROUTES,
    )
)
