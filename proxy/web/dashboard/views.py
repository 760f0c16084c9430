"""All addresses of the dashboard."""

from proxy.web.dashboard.pages import (
    live,
    login,
    own,
    people,
    person,
    request,
    requests,
    routes,
    sessions,
    stop,
)
from proxy.web.dashboard.view_table import ViewTable

VIEWS = ViewTable(
    (
        *live.VIEWS,
        *login.VIEWS,
        *own.VIEWS,
        *people.VIEWS,
        *person.VIEWS,
        *request.VIEWS,
        *requests.VIEWS,
        *routes.VIEWS,
        *sessions.VIEWS,
        *stop.VIEWS,
    )
)
